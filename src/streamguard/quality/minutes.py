"""What a batch says about its source: counts, how full the fields are, how old the records are.

Columns of values are counted as a whole, for it is done with each batch of thousands.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from streamguard.models import Transaction

FIELDS = tuple(name for name, found in Transaction.model_fields.items() if not found.is_required())
"""The fields that may be absent."""

AGES_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3_600, 86_400)
"""Upper ends of the ages that are counted apart, in seconds; what is older is `OLDER`."""
OLDER = "older"

GRACE_MS = 10_000
"""How much older than the newest record of its partition a record may be and still be in its window: the GRACE PERIOD of the SQL
rules."""


@dataclass
class Counts:
    """What is added to a minute of a topic. `ages` and `filled` count by age and by field."""

    records: int = 0
    dead_letters: int = 0
    duplicates: int = 0
    late: int = 0
    ages: dict[str, int] = field(default_factory=dict)
    age_sum_s: float = 0.0
    age_max_s: float = 0.0
    filled: dict[str, int] = field(default_factory=dict)

    def add_ages(self, times_ms: Sequence[int], now_ms: int) -> None:
        """Count the ages of records by their times; a time ahead of the clock is an age of 0."""
        if not times_ms:
            return
        oldest_first = (
            sorted(min(time_ms, now_ms) for time_ms in times_ms) if max(times_ms) > now_ms else sorted(times_ms)
        )
        total = len(oldest_first)
        seen = 0
        for age_s in AGES_S:
            upto = total - bisect_left(oldest_first, now_ms - age_s * 1_000)
            if upto > seen:
                self.ages[str(age_s)] = upto - seen
            seen = upto
        if seen < total:
            self.ages[OLDER] = total - seen
        self.age_sum_s = (total * now_ms - sum(oldest_first)) / 1_000
        self.age_max_s = (now_ms - oldest_first[0]) / 1_000

    def add_filled(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Count the values that are there, by field; the empty text is none."""
        for name in FIELDS:
            values = columns[name]
            # A column without gaps is told three times as fast.
            gaps = 0 if all(values) else values.count(None) + values.count("")
            if len(values) > gaps:
                self.filled[name] = len(values) - gaps

    def row(self) -> tuple[Any, ...]:
        """The values in the order of `UPSERT`."""
        ages, filled = (orjson.dumps(counts).decode() for counts in (self.ages, self.filled))
        return (
            *(self.records, self.dead_letters, self.duplicates, self.late),
            *(ages, self.age_sum_s, self.age_max_s, filled),
        )


def late_ones(times_ms: Sequence[int], newest_ms: int) -> tuple[list[int], int]:
    """Which records of a partition come too late for their window, by their positions, and its newest time after them.

    `newest_ms` is the newest time before them.
    """
    newest = max(newest_ms, max(times_ms))
    if newest - min(times_ms) <= GRACE_MS:
        return [], newest
    late, latest_ms = [], newest_ms
    for position, time_ms in enumerate(times_ms):
        if time_ms > latest_ms:
            latest_ms = time_ms
        elif time_ms < latest_ms - GRACE_MS:
            late.append(position)
    return late, newest


# The lane keeps two members of the group from waiting for each other's row: it is a partition that only one of them has.
UPSERT = """
INSERT INTO quality_minutes AS old
    (minute, topic, lane, records, dead_letters, duplicates, late, ages, age_sum_s, age_max_s, filled)
SELECT date_trunc('minute', clock_timestamp()), v.topic, v.lane, v.records, v.dead_letters, v.duplicates, v.late,
    v.ages::JSONB, v.age_sum_s, v.age_max_s, v.filled::JSONB
FROM (VALUES %s) AS v (topic, lane, records, dead_letters, duplicates, late, ages, age_sum_s, age_max_s, filled)
ORDER BY v.topic
ON CONFLICT (minute, topic, lane) DO UPDATE SET
    records = old.records + excluded.records, dead_letters = old.dead_letters + excluded.dead_letters,
    duplicates = old.duplicates + excluded.duplicates, late = old.late + excluded.late,
    ages = add_counts(old.ages, excluded.ages), age_sum_s = old.age_sum_s + excluded.age_sum_s,
    age_max_s = greatest(old.age_max_s, excluded.age_max_s), filled = add_counts(old.filled, excluded.filled)
"""
