"""Where the jobs read from: the lake, or Postgres where there is no lake."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streamguard.analytics.catalogue import Job, JobError, Sources
from streamguard.analytics.export import export
from streamguard.analytics.rates import read_rates
from streamguard.analytics.session import REMOTE, first_line
from streamguard.config import Settings
from streamguard.config.extras import need
from streamguard.config.ksqldb import without_login
from streamguard.config.storage import storage_error

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

POSTGRES = "postgres"
_TRANSACTIONS, _DECISION_TABLE = "transactions", "decisions"
"""The tables of the lake, whatever the topics are called (streamguard.sinks.lake)."""
_ALWAYS = ("event_time", "day")
_DECISIONS = ("alert_id", "tx_count", "rule", "transaction_id", "outcome", "decided_by", "decided_at")
_NO_DECISIONS = (
    "alert_id string, tx_count long, rule string, transaction_id string, outcome string, decided_by string,"
    " decided_at timestamp"
)


@dataclass(frozen=True)
class Span:
    """The range of time that is asked for, [since, until), UTC; None for what there is."""

    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Opened:
    """The sources; `name` is the lake's address or postgres, `transactions` how many there are in the range."""

    sources: Sources
    name: str
    transactions: int


@contextmanager
def open_sources(
    settings: Settings, spark: SparkSession, folder: Path, span: Span, jobs: Iterable[Job]
) -> Iterator[Opened]:
    """The sources of a range, with the columns that the jobs need. Raises JobError where there is nothing in it.

    From Postgres the rows are copied to a file in `folder` first, in one database transaction.
    """
    from pyspark.errors import PySparkException

    columns = sorted({column for job in jobs for column in job.reads})
    try:
        if _has_table(settings.lake_uri, _TRANSACTIONS):
            name = settings.lake_uri
            transactions = _table(spark, settings.lake_uri, _TRANSACTIONS)
            decisions = _decisions(settings, spark)
        elif os.environ.get(REMOTE):
            raise JobError(
                f"the Spark of {REMOTE} reads the lake itself, and {without_login(settings.lake_uri)} (LAKE_URI) has no"
                f" transactions: fill it (streamguard sink lake), or unset {REMOTE}"
            )
        else:
            name = POSTGRES
            export(settings, folder, columns, span.since, span.until)
            transactions = spark.read.parquet(str(folder / "transactions"))
            decisions = spark.read.parquet(str(folder / "decisions"))
        yield _opened(settings, name, _within(transactions, span), decisions, span, columns)
    except PySparkException as error:
        raise JobError(f"the engine of batch jobs could not read {name}: {first_line(error)}") from None


def _opened(
    settings: Settings, name: str, paid: DataFrame, decisions: DataFrame, span: Span, columns: list[str]
) -> Opened:
    from pyspark.sql import functions as F

    at = F.unix_micros("event_time")
    [found] = paid.agg(F.count(F.lit(1)).alias("count"), F.min(at).alias("first"), F.max(at).alias("last")).collect()
    if not found["count"]:
        raise JobError(_nothing(settings, name, span))
    first, last = (_from_micros(found[which]) for which in ("first", "last"))
    # What was asked for, where the payments reach that far: else they begin or end within a day that is not whole.
    day = timedelta(days=1)
    since = span.since if span.since and first - span.since <= day else first
    until = span.until if span.until and span.until - last <= day else last + timedelta(milliseconds=1)
    needed = paid.select(*columns) if columns else paid
    sources = Sources(needed, decisions.select(*_DECISIONS), read_rates(), since, until)
    return Opened(sources, name, int(found["count"]))


def _nothing(settings: Settings, name: str, span: Span) -> str:
    where = "Postgres" if name == POSTGRES else f"the lake {without_login(name)}"
    bounds = [f"since {span.since:%Y-%m-%d %H:%M}"] if span.since else []
    bounds += [f"until {span.until:%Y-%m-%d %H:%M}"] if span.until else []
    if bounds:
        return f"{where} has no transactions {' '.join(bounds)} (UTC): name another range"
    return f"{where} has no transactions yet: send some (streamguard generate, streamguard import), then repeat"


def _within(paid: DataFrame, span: Span) -> DataFrame:
    """By day too, where the table is divided by it: files of other days are not read."""
    from pyspark.sql import functions as F

    for bound, after in ((span.since, True), (span.until, False)):
        if bound is not None:
            at, day = F.lit(bound), F.lit(bound.date())
            paid = paid.where(F.col("event_time") >= at if after else F.col("event_time") < at)
            if "day" in paid.columns:
                paid = paid.where(F.col("day") >= day if after else F.col("day") <= day)
    return paid


def _decisions(settings: Settings, spark: SparkSession) -> DataFrame:
    """None are there before the first alert."""
    if _has_table(settings.lake_uri, _DECISION_TABLE):
        return _table(spark, settings.lake_uri, _DECISION_TABLE)
    return spark.createDataFrame([], _NO_DECISIONS)


def _table(spark: SparkSession, lake: str, name: str) -> DataFrame:
    return spark.read.format("delta").load(f"{lake.rstrip('/')}/{name}")


def _has_table(lake: str, name: str) -> bool:
    delta: Any = need("batch", "deltalake")
    try:
        return bool(delta.DeltaTable.is_deltatable(f"{lake.rstrip('/')}/{name}"))
    except (OSError, ValueError, delta.exceptions.DeltaError) as error:
        raise JobError(f"the lake {without_login(lake)} (LAKE_URI) cannot be read: {storage_error(error)}") from None


def _from_micros(value: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=value)
