"""What a batch adds to the minute of its topics: see `streamguard.quality.minutes`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from psycopg2.extras import execute_values

from streamguard.consumer import statements as sql
from streamguard.consumer.records import Batch, ConsumedRecord, DeadRecord
from streamguard.quality.minutes import UPSERT, Counts, late_ones

_EVENT_TIME = sql.FIELDS.index("event_time")


class Outcome(NamedTuple):
    """What became of the records of a batch; `again` were stored, `dead_again` made dead letters, from their offsets before."""

    repeated: Sequence[DeadRecord]
    dead: Sequence[DeadRecord]
    again: Sequence[ConsumedRecord]
    dead_again: Sequence[ConsumedRecord]


class BatchQuality:
    """Counts a batch. `rows` are the fields of its transactions, `newest` the newest time of each partition before it."""

    def __init__(self, batch: Batch, rows: Sequence[tuple[Any, ...]], newest: Mapping[tuple[str, int], int]) -> None:
        self._batch, self._rows = batch, rows
        self._columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
        self._late: list[int] = []
        self.newest: dict[tuple[str, int], int] = {}
        """The newest time of each partition after it, epoch milliseconds."""
        for run in batch.runs:
            before = self.newest.get(run.partition, 0 if run.starts_over else newest.get(run.partition, 0))
            times = self._columns[_EVENT_TIME][run.first : run.end]
            late, self.newest[run.partition] = late_ones(times, before)
            self._late += [run.first + position for position in late]

    def add(self, cursor: Any, outcome: Outcome, now_ms: int) -> None:
        """Add the batch to the minute of the database's clock."""
        counts = self._records(outcome)
        if self._rows:
            [topic] = {run.partition[0] for run in self._batch.runs}
            counts[topic].duplicates = len(outcome.repeated) - len(
                _places(outcome.dead_again) & _places_of(outcome.repeated)
            )
            self._stored(counts[topic], outcome, now_ms)
        if self._batch.alerts:
            times = [alert.detected_at for _, alert in self._batch.alerts]
            counts[self._batch.alerts[0][0].topic].add_ages(times, now_ms)
        lanes = {topic: min(p for t, p in self._batch.spans if t == topic) for topic in counts}
        values = [(topic, lanes[topic], *found.row()) for topic, found in counts.items()]
        execute_values(cursor, UPSERT, values, page_size=len(values))

    def _records(self, outcome: Outcome) -> dict[str, Counts]:
        counts: dict[str, Counts] = {}
        for (topic, _), span in self._batch.spans.items():
            counts.setdefault(topic, Counts()).records += span.records
        for letter in outcome.dead:
            counts[letter.record.topic].dead_letters += 1
        for record in outcome.again:
            counts[record.topic].records -= 1
        for record in outcome.dead_again:
            counts[record.topic].records -= 1
            counts[record.topic].dead_letters -= 1
        return counts

    def _stored(self, counts: Counts, outcome: Outcome, now_ms: int) -> None:
        """Count the transactions that were stored, without those that were before."""
        columns, late = self._columns, self._late
        if gone := _places(outcome.again) | _places_of(outcome.repeated):
            kept = [n for n, (record, _) in enumerate(self._batch.transactions) if _place(record) not in gone]
            columns = [[column[n] for n in kept] for column in columns]
            late = sorted({*late} & {*kept})
        counts.late = len(late)
        counts.add_ages(columns[_EVENT_TIME], now_ms)
        counts.add_filled(dict(zip(sql.FIELDS, columns, strict=True)))


def _place(record: ConsumedRecord) -> tuple[str, int, int]:
    return record.topic, record.partition, record.offset


def _places(records: Sequence[ConsumedRecord]) -> set[tuple[str, int, int]]:
    return {_place(record) for record in records}


def _places_of(letters: Sequence[DeadRecord]) -> set[tuple[str, int, int]]:
    return {_place(letter.record) for letter in letters}
