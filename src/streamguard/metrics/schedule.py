"""What the schedule counts: runs by job and how they ended, and whether the last one failed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Protocol

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

_PREFIX = "streamguard_schedule"
_DONE, _FAILED = "done", "failed"


class Finished(Protocol):
    """What is looked at of a run."""

    @property
    def status(self) -> str: ...

    @property
    def finished_at(self) -> datetime | None: ...


class ScheduleMetrics:
    """Counters of the process; jobs run in threads of their own."""

    def __init__(self) -> None:
        self._runs: Counter[tuple[str, str]] = Counter()
        self._failed: dict[str, bool] = {}
        self._succeeded_s: dict[str, float] = {}
        self._unready: str | None = "the database is unavailable"
        self._lock = threading.Lock()

    def ready(self) -> str | None:
        """Why no job is run now; None where they are."""
        return self._unready

    def ready_now(self) -> None:
        """Note that jobs are run from now on."""
        self._unready = None

    def known(self, job: str, run: Finished) -> None:
        """Take over from the history how a job's last run ended."""
        with self._lock:
            self._note(job, run)

    def ran(self, job: str, run: Finished) -> None:
        """Count a run that has ended."""
        with self._lock:
            self._runs[job, run.status] += 1
            self._note(job, run)

    def counted(self, job: str, status: str) -> None:
        """Count one that did not begin."""
        with self._lock:
            self._runs[job, status] += 1

    def forget(self, job: str) -> None:
        """Of a job that is no longer scheduled nothing is shown: its alarm ends."""
        with self._lock:
            self._failed.pop(job, None)
            self._succeeded_s.pop(job, None)

    def _note(self, job: str, run: Finished) -> None:
        if run.status in (_DONE, _FAILED):
            self._failed[job] = run.status == _FAILED
        if run.status == _DONE and run.finished_at is not None:
            self._succeeded_s[job] = run.finished_at.timestamp()

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are those of `collect`."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """As prometheus-client asks for it."""
        runs = CounterMetricFamily(
            f"{_PREFIX}_runs", "Runs of scheduled jobs that have ended.", labels=["scheduled", "status"]
        )
        failed = GaugeMetricFamily(
            f"{_PREFIX}_last_run_failed",
            "1 where the last run of a job failed after all retries.",
            labels=["scheduled"],
        )
        succeeded = GaugeMetricFamily(
            f"{_PREFIX}_last_success_timestamp_seconds", "When a job last ended well.", labels=["scheduled"]
        )
        with self._lock:
            for (job, status), count in sorted(self._runs.items()):
                runs.add_metric([job, status], count)
            for job, has_failed in sorted(self._failed.items()):
                failed.add_metric([job], float(has_failed))
            for job, at_s in sorted(self._succeeded_s.items()):
                succeeded.add_metric([job], at_s)
        yield from (runs, failed, succeeded)
