"""Minutes added up: by topic, by stretches of time, and the hour beside the same hour of the weeks before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from sqlalchemy import Connection, text

from streamguard.database.rows import columns_of, select_as
from streamguard.quality.limits import FEWEST, WEEKS
from streamguard.quality.minutes import AGES_S

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Sums:
    """What a topic had in a stretch of time; `ages` and `filled` as in `quality_minutes`."""

    records: int = 0
    dead_letters: int = 0
    duplicates: int = 0
    late: int = 0
    age_sum_s: float = 0.0
    age_max_s: float = 0.0
    ages: Mapping[str, int] | None = None
    filled: Mapping[str, int] | None = None

    @property
    def stored(self) -> int:
        """Records that became rows."""
        return self.records - self.dead_letters

    @property
    def age_mean_s(self) -> float | None:
        """The mean time from event to row, seconds."""
        return self.age_sum_s / self.stored if self.stored else None

    def of_read(self, count: int) -> float | None:
        """A share of the records read; None where they are too few."""
        return count / self.records if self.records >= FEWEST else None

    def of_stored(self, count: int) -> float | None:
        """A share of the records stored; None where they are too few."""
        return count / self.stored if self.stored >= FEWEST else None

    def filled_share(self, field: str) -> float | None:
        """In how many of the stored records a field is there."""
        return self.of_stored((self.filled or {}).get(field, 0))

    def age_s(self, quantile: float) -> float | None:
        """The time from event to row that this part of the records did not exceed; within a step of `AGES_S` it is estimated.
        None where there are none; the longest of all beyond the last step."""
        ages = self.ages or {}
        if not (total := sum(ages.values())):
            return None
        seen, lower_s = 0, 0.0
        for upper_s in AGES_S:
            count = ages.get(str(upper_s), 0)
            if count and seen + count >= quantile * total:
                found = lower_s + (upper_s - lower_s) * (quantile * total - seen) / count
                return min(found, self.age_max_s)
            seen, lower_s = seen + count, upper_s
        return self.age_max_s


_MAP = """(SELECT coalesce(jsonb_object_agg(key, total), '{{}}') FROM (SELECT key, sum(value::BIGINT) AS total
    FROM minutes, jsonb_each_text(minutes.{0}) GROUP BY key) AS totals) AS {0}"""
_SUMS = f"""
WITH minutes AS (SELECT * FROM quality_minutes WHERE topic = :topic AND minute >= :since AND minute < :until)
SELECT coalesce(sum(records), 0)::BIGINT AS records, coalesce(sum(dead_letters), 0)::BIGINT AS dead_letters,
    coalesce(sum(duplicates), 0)::BIGINT AS duplicates, coalesce(sum(late), 0)::BIGINT AS late,
    coalesce(sum(age_sum_s), 0) AS age_sum_s, coalesce(max(age_max_s), 0) AS age_max_s,
    {_MAP.format("ages")}, {_MAP.format("filled")}
FROM minutes
"""


def sums(connection: Connection, topic: str, since: datetime, until: datetime) -> Sums:
    """What a topic had from one minute to before another."""
    [found] = select_as(connection, Sums, text(_SUMS), {"topic": topic, "since": since, "until": until})
    return found


@dataclass(frozen=True)
class Stretch:
    """A part of the time that a chart shows."""

    begin: datetime
    records: int
    dead_letters: int
    duplicates: int
    late: int
    age_mean_s: float | None


_STRETCHES = f"""
SELECT {columns_of(Stretch, "f.")} FROM (
    SELECT s.begin, coalesce(sum(records), 0)::BIGINT AS records, coalesce(sum(dead_letters), 0)::BIGINT AS dead_letters,
        coalesce(sum(duplicates), 0)::BIGINT AS duplicates, coalesce(sum(late), 0)::BIGINT AS late,
        sum(age_sum_s) / nullif(sum(records - dead_letters), 0) AS age_mean_s
    FROM generate_series(CAST(:since AS TIMESTAMPTZ), CAST(:until AS TIMESTAMPTZ) - CAST(:width AS INTERVAL),
        CAST(:width AS INTERVAL)) AS s (begin)
    LEFT JOIN quality_minutes q
        ON q.topic = :topic AND q.minute >= s.begin AND q.minute < s.begin + CAST(:width AS INTERVAL)
    GROUP BY s.begin
) AS f ORDER BY f.begin
"""


def stretches(
    connection: Connection, topic: str, since: datetime, until: datetime, width: timedelta
) -> Sequence[Stretch]:
    """Stretches of the same width from `since` on, also those without records."""
    parameters = {"topic": topic, "since": since, "until": until, "width": width}
    return select_as(connection, Stretch, text(_STRETCHES), parameters)


@dataclass(frozen=True)
class Volume:
    """Records of the last hour, and `usual`: the median of the same hour of the weeks before, None where that is not known."""

    records: int
    usual: float | None


_HOURS = """
SELECT CAST(coalesce(sum(records), 0) AS BIGINT) FROM quality_minutes
WHERE topic = :topic AND minute >= :since AND minute < :until
"""


def volume(connection: Connection, topic: str, until: datetime) -> Volume:
    """The hour before `until`, which is a whole minute."""

    def records(weeks: int) -> int:
        end = until - timedelta(weeks=weeks)
        return int(connection.execute(text(_HOURS), {"topic": topic, "since": end - HOUR, "until": end}).scalar_one())

    before = [count for count in map(records, range(1, WEEKS + 1)) if count]
    usual = median(before) if len(before) >= 2 and median(before) >= FEWEST else None
    return Volume(records(0), usual)
