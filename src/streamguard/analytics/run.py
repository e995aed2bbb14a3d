"""Runs jobs: reads the sources once for all, collects what each job finds, stores it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from streamguard.analytics.catalogue import Job, JobError, Sources, load_jobs
from streamguard.analytics.quiet import quiet
from streamguard.config import Settings
from streamguard.database import make_engine

if TYPE_CHECKING:
    from streamguard.analytics.source import Opened

Told = Callable[[str, str, float, int], None]
"""Called with the name of a job, what becomes of it (running, done, failed), its seconds, and how many jobs there are."""


@dataclass(frozen=True)
class Result:
    """What a job has found: its tables as Arrow's, or why it failed."""

    job: Job
    run_id: UUID
    tables: Mapping[str, Any]
    seconds: float
    error: str | None = None


@dataclass(frozen=True)
class Analysis:
    """All results, of `transactions` payments of [since, until) from `source`."""

    source: str
    since: datetime
    until: datetime
    transactions: int
    results: tuple[Result, ...]


def analyse(
    settings: Settings,
    names: Sequence[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    store: bool = True,
    told: Told = lambda job, state, seconds, of: None,
) -> Analysis:
    """Run the jobs of these names, or all. A job that fails does not keep the others from running.

    Raises UserError where none can be run: no data in the range, no engine, no database to store in.
    """
    jobs = load_jobs(names)
    from streamguard.analytics.session import spark
    from streamguard.analytics.source import Span, open_sources

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="streamguard-analyse-")))
        engine = make_engine(settings, "streamguard-analyse") if store else None
        if engine is not None:
            stack.callback(engine.dispose)
            engine.connect().close()
        stack.enter_context(quiet())
        session = stack.enter_context(spark(folder))
        opened = stack.enter_context(open_sources(settings, session, folder, Span(since, until), jobs))
        found = opened.sources
        runner = _Runner(settings, engine, opened, lambda name, state, seconds: told(name, state, seconds, len(jobs)))
        results = [runner.run(job) for job in jobs]
        return Analysis(opened.name, found.since, found.until, opened.transactions, tuple(results))


def collect(job: Job, sources: Sources) -> dict[str, Any]:
    """The tables of a job, as Arrow tables."""
    return {name: table.toArrow() for name, table in job.run(sources).items()}


@dataclass(frozen=True)
class _Runner:
    """Runs one job after the other; `engine` is None where nothing is stored."""

    settings: Settings
    engine: Engine | None
    opened: Opened
    told: Callable[[str, str, float], None]

    def run(self, job: Job) -> Result:
        from pyspark.errors import PySparkException

        from streamguard.analytics import store
        from streamguard.analytics.session import first_line

        run_id, started = uuid4(), time.monotonic()
        self.told(job.name, store.RUNNING, 0.0)
        if self.engine is not None:
            store.begin(self.engine, run_id, job.name, self.opened)
        tables: dict[str, Any] = {}
        error: str | None = None
        try:
            tables = collect(job, self.opened.sources)
            if self.engine is not None:
                store.write_delta(self.settings, run_id, job.name, tables)
                store.finish(self.engine, run_id, job.name, tables)
        except (PySparkException, JobError) as problem:
            error = first_line(problem)
            if self.engine is not None:
                store.fail(self.engine, run_id, error)
        except BaseException as problem:
            if self.engine is not None:
                with suppress(DBAPIError):
                    store.fail(self.engine, run_id, store.INTERRUPTED.format(type(problem).__name__))
            raise
        seconds = time.monotonic() - started
        self.told(job.name, store.FAILED if error else store.DONE, seconds)
        return Result(job, run_id, tables, seconds, error)
