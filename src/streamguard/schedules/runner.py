"""The process of the schedule: APScheduler says when, and what was missed while nobody looked is made good once."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from streamguard.config import Settings
from streamguard.config.extras import need
from streamguard.database import error_message, is_outage
from streamguard.database.locks import Lock
from streamguard.metrics.schedule import ScheduleMetrics
from streamguard.schedules import history as h
from streamguard.schedules.execute import end_leftovers, execute
from streamguard.schedules.history import History
from streamguard.schedules.plan import Entry, Plan, ScheduleError, parse_plan, plan_file, read_plan

log = logging.getLogger("streamguard.schedules")

LOOK_S = 2.0
"""How often the file is looked at for changes."""
_RETRY_S = 5.0
_AT_ONCE = 4
"""Jobs that run side by side at most."""


class Runner:
    """Runs what the plan says until `stop` is set. One at a time over a database: a lock of it says which."""

    def __init__(self, settings: Settings, engine: Engine, stop: threading.Event, metrics: ScheduleMetrics) -> None:
        self._settings, self._engine, self._stop, self._metrics = settings, engine, stop, metrics
        self._history = History(engine)
        self._plan: dict[str, Entry] = {}
        self._text: str | None = None
        self._lock: Connection | None = None
        background: Any = need("batch", "apscheduler.schedulers.background")
        pool: Any = need("batch", "apscheduler.executors.pool")
        events: Any = need("batch", "apscheduler.events")
        self._scheduler = background.BackgroundScheduler(
            executors={"default": pool.ThreadPoolExecutor(_AT_ONCE)},
            # A late time is run, times that came together once, and no job beside itself.
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
            timezone=timezone.utc,
        )
        self._scheduler.add_listener(self._skipped, events.EVENT_JOB_MAX_INSTANCES)

    def run(self) -> None:
        """Until `stop` is set. Raises ScheduleError where another process has the schedule, or the first plan cannot be used."""
        read_plan(plan_file(self._settings))
        if not self._wait_for_database():
            return
        self._scheduler.start()
        self._metrics.ready_now()
        try:
            while True:
                self._look()
                if self._stop.wait(LOOK_S):
                    break
        finally:
            self._stop.set()
            self._scheduler.shutdown(wait=True)
            self._history.flush()
            if self._lock is not None:
                self._lock.close()

    def _wait_for_database(self) -> bool:
        """Take the lock and settle what the process before left; False where told to stop meanwhile."""
        while not self._stop.is_set():
            try:
                self._take_lock()
                end_leftovers(self._settings)
                self._history.begin()
                return True
            except DBAPIError as error:
                if not is_outage(error):
                    raise
                log.warning("the database: %s; retrying in %.0f s", error_message(error), _RETRY_S)
                self._stop.wait(_RETRY_S)
        return False

    def _take_lock(self) -> None:
        if self._lock is not None:
            self._lock.close()
        # Held by the session; no transaction stays open.
        self._lock = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        if not self._lock.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": Lock.SCHEDULE}).scalar_one():
            self._lock.close()
            self._lock = None
            raise ScheduleError("another process runs the schedule of this database: one is enough")

    def _look(self) -> None:
        """Follow the file; where the database had been away, take the lock again."""
        try:
            assert self._lock is not None
            self._lock.execute(text("SELECT 1"))
            if self._history.flush():
                self._follow()
        except DBAPIError as error:
            if not is_outage(error):
                raise
            log.warning("the database: %s; jobs go on, their runs are stored when it is back", error_message(error))
            try:
                self._take_lock()
            except DBAPIError as again:
                if not is_outage(again):
                    raise

    def _follow(self) -> None:
        file = plan_file(self._settings)
        try:
            content = file.read_text(encoding="utf-8") if file.exists() else ""
            if content == self._text:
                return
            self._text = content
            plan = parse_plan(content, file)
            for entry in plan.values():
                entry.trigger()
        except (OSError, UnicodeDecodeError, ScheduleError) as error:
            log.error("%s; the jobs are those of before", error)
            return
        self._apply(plan)

    def _apply(self, plan: Plan) -> None:
        first = not self._plan
        for name in set(self._plan) - set(plan):
            self._scheduler.remove_job(name)
            del self._plan[name]
            self._metrics.forget(name)
            log.info("%s is no longer in the schedule", name)
        for name, entry in plan.items():
            if self._plan.get(name) != entry:
                self._add(name, entry, known=first)
        with self._engine.connect() as connection:
            for name, run in h.newest(connection, list(plan)).items():
                self._metrics.known(name, run)

    def _add(self, name: str, entry: Entry, *, known: bool) -> None:
        """Let it run at its next time, or now where a time was missed."""
        # Before the scheduler has it, which may run it at once.
        self._plan[name] = entry
        now = datetime.now(timezone.utc)
        last = self._history.last(name) if known else None
        due = entry.next_after(last.due_at if last else now)
        if last is None:
            self._history.write(h.new_run(name, entry.command, now, h.ADDED, now))
        if due is not None and due <= now:
            if entry.missed == "skip":
                self._history.write(h.new_run(name, entry.command, now, h.MISSED, now))
                log.warning("%s was due at %s, when the schedule did not run: skipped", name, due)
                due = entry.next_after(now)
            else:
                log.warning("%s was due at %s, when the schedule did not run: it runs now", name, due)
                due = now
        self._scheduler.add_job(
            self._run,
            entry.trigger(),
            id=name,
            name=name,
            args=[name],
            replace_existing=True,
            **({} if due is None else {"next_run_time": due}),
        )
        log.info("%s runs %s, next at %s", name, entry.when, due)

    def _run(self, name: str) -> None:
        entry, now = self._plan.get(name), datetime.now(timezone.utc)
        if entry is None:  # taken out at this moment
            return
        run = h.new_run(name, entry.command, now, h.RUNNING, now)
        self._history.write(run)
        log.info("%s begins: streamguard %s", name, " ".join(entry.words))
        outcome = execute(self._settings, name, entry, self._stop)
        run = replace(
            run,
            finished_at=datetime.now(timezone.utc),
            attempts=outcome.attempts,
            status=outcome.status,
            exit_code=outcome.exit_code,
            output=outcome.output,
        )
        self._history.write(run)
        self._metrics.ran(name, run)
        level = logging.ERROR if outcome.status == h.FAILED else logging.INFO
        log.log(level, "%s: %s after %d attempts", name, outcome.status, outcome.attempts)

    def _skipped(self, event: Any) -> None:
        now = datetime.now(timezone.utc)
        name = event.job_id
        log.warning("%s is due, and its run before is not over: skipped", name)
        entry = self._plan.get(name)
        self._history.write(h.new_run(name, entry.command if entry else "", now, h.SKIPPED, now))
        self._metrics.counted(name, h.SKIPPED)
