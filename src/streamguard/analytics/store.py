"""Where results go: Delta tables with every row, and the tables analytics_runs and analytics_results of Postgres."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
from sqlalchemy import Engine, text

from streamguard.analytics.catalogue import JobError
from streamguard.analytics.source import Opened
from streamguard.config import Settings
from streamguard.config.extras import need
from streamguard.config.ksqldb import without_login
from streamguard.config.storage import storage_error
from streamguard.database.copy import copy_text

MOST_ROWS = 5_000
"""Rows of each table of a result that Postgres gets; the lake has all."""
KEPT = timedelta(days=90)
"""How long Postgres keeps runs and their results."""
INTERRUPTED = "the command ended before the job was done ({})"
RUNNING, DONE, FAILED = "running", "done", "failed"


def begin(engine: Engine, run_id: UUID, job: str, opened: Opened) -> None:
    """Note a run that begins, and that older ones were killed; remove those that are too old."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "DELETE FROM analytics_runs WHERE job = :job AND started_at < clock_timestamp() - CAST(:kept AS INTERVAL)"
            ),
            {"job": job, "kept": f"{KEPT.days} days"},
        )
        connection.execute(
            text(
                "UPDATE analytics_runs SET status = :failed, error = :error, finished_at = clock_timestamp()"
                " WHERE job = :job AND status = :running AND started_at < clock_timestamp() - INTERVAL '1 day'"
            ),
            {"failed": FAILED, "error": INTERRUPTED.format("killed"), "job": job, "running": RUNNING},
        )
        connection.execute(
            text(
                "INSERT INTO analytics_runs (run_id, job, started_at, source, since, until, rows, status)"
                " VALUES (:run_id, :job, clock_timestamp(), :source, :since, :until, :rows, :status)"
            ),
            {
                "run_id": run_id,
                "job": job,
                "source": without_login(opened.name),
                "since": opened.sources.since,
                "until": opened.sources.until,
                "rows": opened.transactions,
                "status": RUNNING,
            },
        )


def finish(engine: Engine, run_id: UUID, job: str, tables: Mapping[str, pa.Table]) -> None:
    """Store the rows and that the run is done, together."""
    with engine.begin() as connection:
        cursor = connection.connection.cursor()
        statement = "COPY analytics_results (run_id, job, place, data) FROM STDIN (FORMAT csv)"
        copy_text(cursor, statement, "".join(_lines(run_id, job, tables)))
        cursor.close()
        _end(connection, run_id, DONE, None)


def fail(engine: Engine, run_id: UUID, error: str) -> None:
    """Note that a run has failed, and why."""
    with engine.begin() as connection:
        _end(connection, run_id, FAILED, error)


def _end(connection: Any, run_id: UUID, status: str, error: str | None) -> None:
    connection.execute(
        text(
            "UPDATE analytics_runs SET finished_at = clock_timestamp(), status = :status, error = :error"
            " WHERE run_id = :run_id"
        ),
        {"run_id": run_id, "status": status, "error": error},
    )


def write_delta(settings: Settings, run_id: UUID, job: str, tables: Mapping[str, pa.Table]) -> None:
    """Append each table to LAKE_URI/analytics/JOB/TABLE, with the run's id before its columns. Raises JobError."""
    delta: Any = need("batch", "deltalake")
    for name, table in tables.items():
        address = f"{settings.lake_uri.rstrip('/')}/analytics/{job}/{name}"
        ids = pa.array([str(run_id)] * len(table), pa.string())
        try:
            delta.write_deltalake(address, table.add_column(0, "run_id", ids), mode="append", schema_mode="merge")
        except (OSError, ValueError, delta.exceptions.DeltaError) as error:
            said = storage_error(error)
            raise JobError(f"{without_login(address)} (LAKE_URI) cannot be written to: {said}") from None


def plain_rows(table: pa.Table, most: int | None = None) -> Iterator[dict[str, Any]]:
    """Rows as JSON has them: decimals are texts, for they are exact; times are ISO 8601, UTC."""
    for row in (table if most is None else table.slice(0, most)).to_pylist():
        yield {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime | date):
        return value.isoformat()
    return value


def _lines(run_id: UUID, job: str, tables: Mapping[str, pa.Table]) -> Iterator[str]:
    """Lines of CSV for COPY: `table` says in each row which table of the job it belongs to."""
    place = 0
    for name, table in tables.items():
        for row in plain_rows(table, MOST_ROWS):
            data = json.dumps({"table": name, **row}, ensure_ascii=False).replace('"', '""')
            yield f'{run_id},{job},{place},"{data}"\n'
            place += 1


def total_rows(tables: Iterable[pa.Table]) -> int:
    """Of all tables together."""
    return sum(len(table) for table in tables)
