"""A report on the quality of the transactions: each figure with its limit and a verdict.

What is usual is asked of the same table: a field beside its share in the days before, an hour beside the same hour of the weeks
before. Where there is too little to compare with, there is no verdict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from streamguard.metrics.consumer import kind_of
from streamguard.quality import limits
from streamguard.quality.figures import Sums, Volume, sums, volume
from streamguard.quality.minutes import FIELDS

MINUTE = timedelta(minutes=1)

# An id that was repeated is quoted by the reason: all of them are one.
_REFUSED = """
SELECT CASE WHEN reason LIKE 'transaction_id % was stored before%' THEN 'transaction_id ' ELSE left(reason, 60) END AS reason,
    count(*) AS letters
FROM dead_letters WHERE source_topic = :topic AND failed_at >= :since AND failed_at < :until GROUP BY 1
"""


@dataclass(frozen=True)
class Check:
    """A figure with its limits; a share between 0 and 1, an age in seconds, a count of records.

    `breached` is None where there is too little to tell.
    """

    name: str
    value: float | None
    least: float | None = None
    most: float | None = None
    field: str | None = None
    usual: float | None = None

    @property
    def breached(self) -> bool | None:
        """Whether the value is outside its limits."""
        if self.value is None or (self.least is None and self.most is None):
            return None
        return (self.least is not None and self.value < self.least) or (
            self.most is not None and self.value > self.most
        )


@dataclass(frozen=True)
class Report:
    """The quality of a topic from `since` to before `until`; `refused` counts dead letters by kind of reason."""

    topic: str
    since: datetime
    until: datetime
    sums: Sums
    checks: Sequence[Check]
    refused: Mapping[str, int]

    @property
    def breached(self) -> bool:
        """Whether any figure is outside its limits."""
        return any(check.breached for check in self.checks)

    @property
    def fields(self) -> Sequence[Check]:
        """The checks of fields."""
        return [check for check in self.checks if check.field]

    @property
    def others(self) -> Sequence[Check]:
        """The checks that are not about a field."""
        return [check for check in self.checks if not check.field]


def now_of(connection: Connection) -> datetime:
    """The minute of the database's clock: by it the minutes are kept."""
    found: datetime = connection.execute(text("SELECT date_trunc('minute', clock_timestamp())")).scalar_one()
    return found


def report(connection: Connection, topic: str, since: datetime, until: datetime) -> Report:
    """The quality of a topic in a stretch of time; volume is that of the hour before its end."""
    found = sums(connection, topic, since, until)
    usual = sums(connection, topic, since - timedelta(days=limits.USUAL_DAYS), since)
    checks = [*general(found), volume_check(volume(connection, topic, until)), *fields(found, usual)]
    return Report(topic, since, until, found, checks, refused(connection, topic, since, until))


def general(found: Sums) -> list[Check]:
    """Shares and ages of a stretch of time."""
    return [
        Check("dead letters", found.of_read(found.dead_letters), most=limits.DEAD_LETTER_SHARE),
        Check("repeated", found.of_read(found.duplicates), most=limits.DUPLICATE_SHARE),
        Check("late", found.of_stored(found.late), most=limits.LATE_SHARE),
        Check("event to row, p50", found.age_s(0.5)),
        Check("event to row, p95", found.age_s(0.95), most=limits.P95_AGE_S),
        Check("event to row, longest", found.age_max_s if found.stored else None),
    ]


def volume_check(found: Volume) -> Check:
    """The last hour beside the same hour of the weeks before."""
    if found.usual is None:
        return Check("records of the last hour", float(found.records))
    least, most = found.usual / limits.VOLUME_FACTOR, found.usual * limits.VOLUME_FACTOR
    return Check("records of the last hour", float(found.records), least, most, usual=found.usual)


def fields(found: Sums, usual: Sums) -> list[Check]:
    """How often each field is filled, beside what is usual."""
    checks = []
    for name in FIELDS:
        before = usual.filled_share(name)
        # One that never was there cannot go missing.
        least = before * limits.FILLED_OF_USUAL if before else None
        checks.append(Check("filled", found.filled_share(name), least, field=name, usual=before))
    return checks


def refused(connection: Connection, topic: str, since: datetime, until: datetime) -> dict[str, int]:
    """Dead letters by the kind of their reason, the most first."""
    counts: Counter[str] = Counter()
    parameters = {"topic": topic, "since": since, "until": until + MINUTE}
    for row in connection.execute(text(_REFUSED), parameters):
        counts[kind_of(row.reason)] += row.letters
    return dict(counts.most_common())
