"""Retention: old raw records are cut, and whole transactions where asked for; what was cut is counted.

* Raw records are in a table per month. A month that is old as a whole is dropped, at once and with its disk space; of the
  month that the limit falls in, rows are removed. The transactions' own rows stay, so nothing that is counted changes.
* The bytes of dead letters are emptied, and their accounts; the letters stay.
* Transactions that belong to no alert can be removed whole. Their number is kept in `retention_cuts`, in the same database
  transaction: records in = stored + dead letters + removed. The evidence of alerts is never removed.

Rows are cut in batches. `transactions` is not partitioned: a unique key of a partitioned table must hold the partition's
column, so an id could be stored once per month, and "each transaction once" would not be true.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from psycopg2.errors import LockNotAvailable
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from streamguard.config import UserError
from streamguard.database.locks import Lock
from streamguard.database.rows import select_as

BATCH = 5_000
"""Rows per database transaction: the consumer waits for the lock no longer than one takes."""

LOCK_WITHIN_MS = 1_000
"""A month that is being read cannot be dropped. The consumer waits meanwhile, so the wait is short, and repeated."""
DROP_TRIES = 5

_UNLINKED = "NOT EXISTS (SELECT FROM alert_transactions l WHERE l.transaction_id = t.transaction_id)"


class MonthInUse(UserError):
    """A query reads raw records for so long that a month of them cannot be dropped."""


@dataclass(frozen=True)
class PurgeTarget:
    """One kind of thing to cut: what the report calls it, which rows those are, and what happens to a batch of them.

    `change` is a statement up to its WHERE, on `table` as t; `also` removes what hangs on the rows `gone`, if anything.
    """

    what: str
    table: str
    time: str
    which: str
    change: str
    also: str = ""


RAW_RECORDS = PurgeTarget("raw records", "transaction_records", "event_time", "TRUE", "DELETE FROM {table} t")
DEAD_BYTES = PurgeTarget(
    "bytes of dead letters",
    "dead_letters",
    "failed_at",
    "(raw_key IS NOT NULL OR raw_value IS NOT NULL)",
    "UPDATE {table} t SET raw_key = NULL, raw_value = NULL, account_id = NULL",
)
TRANSACTIONS = PurgeTarget(
    "transactions",
    "transactions",
    "event_time",
    _UNLINKED,
    "DELETE FROM {table} t",
    # A late transaction may have been stored after its month of records was cut.
    also="DELETE FROM transaction_records r USING gone g"
    " WHERE r.event_time = g.event_time AND r.transaction_id = g.transaction_id AND r.event_time < :before",
)

MINUTES = PurgeTarget("minutes of quality", "quality_minutes", "minute", "TRUE", "DELETE FROM {table} t")
MINUTES_DAYS = 90
"""How long they are kept, whatever else is: what is usual of an hour is told by weeks."""

FIGURES = PurgeTarget("live figures", "live_figures", "window_start", "TRUE", "DELETE FROM {table} t")
FIGURES_DAYS = 35
"""How long they are kept unless it is said: the desk shows a month."""


def targets(*, rows: bool) -> list[PurgeTarget]:
    """What one run cuts, in this order."""
    return [RAW_RECORDS, DEAD_BYTES, *([TRANSACTIONS] if rows else [])]


@dataclass(frozen=True)
class Old:
    """What there is to cut of one kind."""

    what: str
    rows: int
    oldest: datetime | None
    newest: datetime | None


def survey(connection: Connection, before: datetime, cuts: list[PurgeTarget]) -> list[Old]:
    """How much is older than `before`; changes nothing."""
    found = []
    for cut in cuts:
        statement = text(
            f"SELECT CAST(:what AS TEXT) AS what, count(*) AS rows, min({cut.time}) AS oldest, max({cut.time}) AS newest"
            f" FROM {cut.table} t WHERE {cut.time} < :before AND {cut.which}"
        )
        found += select_as(connection, Old, statement, {"what": cut.what, "before": before})
    return found


def run(engine: Engine, before: datetime, cut: PurgeTarget, *, who: str, batch: int = BATCH) -> int:
    """Remove one kind of what is older than `before`; returns the rows. May be stopped at any time.

    Raises MonthInUse, database errors as they come; what was cut until then is cut and counted.
    """
    with engine.connect() as connection:
        started = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        whole, parts = _months(connection, before) if cut is RAW_RECORDS else ([], [cut.table])
    entry = {"started": started, "who": who, "what": cut.what, "before": before}
    total = sum(_drop(engine, month, entry) for month in whole)
    return total + sum(sum(_batches(engine, replace(cut, table=part), batch, entry)) for part in parts)


def _months(connection: Connection, before: datetime) -> tuple[list[str], list[str]]:
    """The tables of raw records that are older than `before` as a whole, and those that it falls in."""
    bound = "CAST(substring(pg_get_expr(c.relpartbound, c.oid) FROM '{} \\(''([^'']+)') AS TIMESTAMPTZ)"
    found = connection.execute(
        text(
            "SELECT CAST(CAST(oid AS REGCLASS) AS TEXT) AS name, coalesce(upper_bound <= :before, FALSE) AS whole FROM ("
            f"SELECT c.oid, {bound.format('FROM')} AS lower_bound, {bound.format('TO')} AS upper_bound"
            " FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = CAST('transaction_records' AS REGCLASS)) m"
            " WHERE coalesce(lower_bound < :before, TRUE) ORDER BY lower_bound NULLS FIRST"
        ),
        {"before": before},
    ).all()
    return [month.name for month in found if month.whole], [month.name for month in found if not month.whole]


def _drop(engine: Engine, month: str, entry: dict[str, Any]) -> int:
    """Drop a month of raw records; returns how many it had when last counted, just before."""
    for _ in range(DROP_TRIES):
        with engine.connect() as connection:
            count = int(connection.execute(text(f"SELECT count(*) FROM {month}")).scalar_one())
        try:
            with engine.begin() as connection:
                connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_WITHIN_MS}"))
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": Lock.STORE})
                connection.execute(text(f"DROP TABLE {month}"))
                if count:
                    _note(connection, entry, count)
            return count
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable):
                raise
            # Those who waited behind us go first.
            time.sleep(LOCK_WITHIN_MS / 1000)
    raise MonthInUse(f"{month} cannot be dropped while a query reads raw records; cut again when it is done")


def _batches(engine: Engine, cut: PurgeTarget, batch: int, entry: dict[str, Any]) -> Iterator[int]:
    """Move forward in time, each batch beginning where the one before ended, so that nothing is read twice."""
    since: datetime | None = None
    while True:
        lower = f"{cut.time} >= :since AND" if since is not None else ""
        statement = (
            f"WITH gone AS ({cut.change.format(table=cut.table)} WHERE t.ctid = ANY(ARRAY("
            f" SELECT t.ctid FROM {cut.table} t WHERE {lower} {cut.time} < :before AND {cut.which}"
            f" ORDER BY {cut.time} LIMIT :batch FOR UPDATE)) RETURNING t.*)"
            f"{f', also AS ({cut.also})' if cut.also else ''} SELECT count(*) AS rows, max({cut.time}) AS newest FROM gone"
        )
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": Lock.STORE})
            gone = connection.execute(
                text(statement),
                {"before": entry["before"], "batch": batch, **({} if since is None else {"since": since})},
            ).one()
            if not gone.rows:
                return
            _note(connection, entry, gone.rows)
        since = gone.newest
        yield gone.rows


def _note(connection: Connection, entry: dict[str, Any], count: int) -> None:
    """Add to what this run has cut of this kind."""
    connection.execute(
        text(
            "INSERT INTO retention_cuts (started_at, what, older_than, cut_by, row_count)"
            " VALUES (:started, :what, :before, :who, :count) ON CONFLICT (started_at, what)"
            " DO UPDATE SET row_count = retention_cuts.row_count + excluded.row_count"
        ),
        {**entry, "count": count},
    )
