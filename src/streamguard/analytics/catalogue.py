"""What a job is, and the registry of all jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING

from streamguard.analytics.quiet import quiet
from streamguard.config import UserError
from streamguard.config.extras import need

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from streamguard.analytics.rates import Rates


class JobError(UserError):
    """A job that cannot be run; the text says which and why."""


@dataclass(frozen=True)
class Sources:
    """What jobs read: valid transactions and decisions of [since, until), UTC.

    `transactions` has the columns of the lake's table (transaction_id, account_id, amount decimal(19,4), currency, ...,
    event_time timestamp, is_fraud boolean or null where nobody knows). `decisions` has alert_id, tx_count, rule,
    transaction_id, outcome, decided_by, decided_at.
    """

    transactions: DataFrame
    decisions: DataFrame
    rates: Rates
    since: datetime
    until: datetime


Tables = Mapping[str, "DataFrame"]
"""The tables of a job by their names, in the order in which people read them, their rows in order."""


@dataclass(frozen=True)
class Job:
    """One job: `title` and `about` are for people, `reads` are the columns of transactions that it needs."""

    name: str
    title: str
    about: str
    reads: tuple[str, ...]
    run: Callable[[Sources], Tables]


JOBS: dict[str, Job] = {}


def job(
    name: str, title: str, about: str, reads: str
) -> Callable[[Callable[[Sources], Tables]], Callable[[Sources], Tables]]:
    """Register a job; `reads` are columns of transactions, separated by blanks. Raises ValueError for a name that is taken."""

    def register(run: Callable[[Sources], Tables]) -> Callable[[Sources], Tables]:
        if name in JOBS:
            raise ValueError(f"the job {name!r} is registered twice")
        JOBS[name] = Job(name, title, about, tuple(reads.split()), run)
        return run

    return register


def load_jobs(names: Sequence[str] = ()) -> list[Job]:
    """The jobs of these names, all of them where none is named. Raises UserError without the extra, JobError for other names."""
    with quiet():
        need("batch", "streamguard.analytics.jobs")
    for name in names:
        if name not in JOBS:
            [nearest] = get_close_matches(name, JOBS, n=1, cutoff=0)
            raise JobError(f"there is no job {name!r}; the nearest one is {nearest}, all are {', '.join(sorted(JOBS))}")
    return [JOBS[name] for name in (dict.fromkeys(names) or sorted(JOBS))]
