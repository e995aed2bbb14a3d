"""Each run of a scheduled job, in the table `schedule_runs` of Postgres."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from streamguard.database import error_message, is_outage
from streamguard.database.rows import columns_of, select_as

log = logging.getLogger("streamguard.schedules")

ADDED, RUNNING, DONE, FAILED, MISSED, SKIPPED, INTERRUPTED = (
    "added running done failed missed skipped interrupted".split()
)
"""First seen (or changed); under way; ended well; ended badly after all retries; not run, for the schedule was not there; not
run, for the run before was not over; ended with the schedule."""
KEPT = timedelta(days=400)
MOST_OUTPUT = 4_000
"""Characters of what a run printed last that are kept."""

_INSERT = (
    "INSERT INTO schedule_runs (run_id, job, command, due_at, started_at, finished_at, attempts, status, exit_code, output)"
    " VALUES (:run_id, :job, :command, :due_at, :started_at, :finished_at, :attempts, :status, :exit_code, :output)"
    " ON CONFLICT (run_id) DO UPDATE SET finished_at = excluded.finished_at, attempts = excluded.attempts,"
    " status = excluded.status, exit_code = excluded.exit_code, output = excluded.output"
)


@dataclass(frozen=True)
class Run:
    """One run; times are UTC."""

    run_id: UUID
    job: str
    command: str
    due_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempts: int
    status: str
    exit_code: int | None
    output: str | None


def new_run(job: str, command: str, due_at: datetime, status: str, at: datetime | None = None) -> Run:
    """A run that begins, or one that is over as soon as it is noted."""
    over = at if status not in (RUNNING,) else None
    return Run(uuid4(), job, command, due_at, at, over, 0, status, None, None)


class History:
    """Writes runs. While the database is unavailable they wait in memory; `flush` writes them then, in order."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: deque[Run] = deque()
        self._lock = threading.Lock()

    def write(self, run: Run) -> None:
        """Store a run, new or changed."""
        with self._lock:
            self._waiting.append(run)
        self.flush()

    def flush(self) -> bool:
        """Write what waits; returns whether nothing waits any more."""
        with self._lock:
            try:
                while self._waiting:
                    with self._engine.begin() as connection:
                        connection.execute(text(_INSERT), _values(self._waiting[0]))
                    self._waiting.popleft()
            except DBAPIError as error:
                if not is_outage(error):
                    raise
                log.warning("the database: %s; %d runs wait to be stored", error_message(error), len(self._waiting))
            return not self._waiting

    def begin(self) -> None:
        """At the start of the process: what was under way was interrupted; what is too old is removed."""
        with self._engine.begin() as connection:
            connection.execute(
                text(
                    "UPDATE schedule_runs SET status = :interrupted, finished_at = clock_timestamp() WHERE status = :running"
                ),
                {"interrupted": INTERRUPTED, "running": RUNNING},
            )
            connection.execute(
                text("DELETE FROM schedule_runs WHERE due_at < clock_timestamp() - CAST(:kept AS INTERVAL)"),
                {"kept": f"{KEPT.days} days"},
            )

    def last(self, job: str) -> Run | None:
        """The newest run of a job that is settled: one that was interrupted is to be made good."""
        with self._engine.connect() as connection:
            found = runs(connection, job, 1, settled=True)
        return found[0] if found else None


def runs(connection: Connection, job: str | None, most: int, *, settled: bool = False) -> list[Run]:
    """Runs, the newest first; of all jobs without a name."""
    conditions = ["TRUE"]
    if job is not None:
        conditions.append("job = :job")
    if settled:
        conditions.append(f"status NOT IN ('{RUNNING}', '{INTERRUPTED}')")
    statement = (
        f"SELECT {columns_of(Run)} FROM schedule_runs WHERE {' AND '.join(conditions)}"
        " ORDER BY due_at DESC, started_at DESC NULLS LAST LIMIT :most"
    )
    return select_as(connection, Run, text(statement), {"job": job, "most": most})


def newest(connection: Connection, jobs: Sequence[str]) -> dict[str, Run]:
    """The newest finished run of each of these jobs that has one."""
    statement = (
        f"SELECT DISTINCT ON (job) {columns_of(Run)} FROM schedule_runs WHERE job = ANY(:jobs)"
        f" AND status IN ('{DONE}', '{FAILED}') ORDER BY job, due_at DESC, started_at DESC NULLS LAST"
    )
    return {run.job: run for run in select_as(connection, Run, text(statement), {"jobs": list(jobs)})}


def _values(run: Run) -> dict[str, Any]:
    values = dict(vars(run))
    # NUL is no character of Postgres's texts.
    values["output"] = None if run.output is None else run.output.replace("\0", "\\0")[-MOST_OUTPUT:]
    return values
