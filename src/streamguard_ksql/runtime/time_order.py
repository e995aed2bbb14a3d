"""The order between several partitions, as a state machine without I/O: the earliest record next, as in Kafka Streams.

A record is given out once no earlier one can come: each partition without a record here has to be at its end, and that
end has to be asked for after the record came. Else a record that was written long before, but is fetched a moment later,
would be taken second, and a join would miss it for ever. (Kafka Streams: KIP-695, max.task.idle.ms.)

`reader` drives it: `add` what was fetched, `take` what may go; where `must_ask` is true after that, `learn` the ends that
Kafka has now, and `take` again.

Invariants: `positions` are those of the records given out; `_heads` has one entry for each partition with records here,
`_empty` names the others; records of one partition stay in their order, whatever their times.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from heapq import heappop, heappush

from streamguard_ksql.operators.record import Batch
from streamguard_ksql.runtime.fetch import Fetched

Place = tuple[str, int]
"""Topic and partition."""
TimesOf = Callable[[Batch], Sequence[int]]
"""The times of a batch's records, milliseconds."""


class _Waiting:
    """A batch of which some records wait: those from `at` on."""

    __slots__ = ("at", "batch", "times")

    def __init__(self, batch: Batch, times: Sequence[int]) -> None:
        self.batch = batch
        self.times = times
        self.at = 0


class TimeOrder:
    """Merges the partitions of `positions`, which it moves on; `times_of` has topics whose records' times are in columns.

    `ahead_ms`: so much earlier a record of another partition may be than one that is given out before it. Records are given
    out in longer runs then, which cost less.
    """

    def __init__(
        self,
        positions: Mapping[str, dict[int, int]],
        times_of: Mapping[str, TimesOf] | None = None,
        ahead_ms: int = 0,
    ) -> None:
        self._ahead_ms = ahead_ms
        self.positions = positions
        self.places = [(topic, p) for topic, offsets in positions.items() for p in offsets]
        self.must_ask = False
        self.held: dict[Place, int] = dict.fromkeys(self.places, 0)
        """How many records of a partition wait."""
        self._times_of = times_of or {}
        self._waiting: dict[Place, deque[_Waiting]] = {place: deque() for place in self.places}
        self._heads: list[tuple[int, Place]] = []
        self._empty = set(self.places)
        self._ends: dict[Place, int] = {}
        self._ends_are_new = False
        self._reached: dict[Place, int] = {}

    def add(self, fetched: Fetched) -> None:
        """Take in what was fetched; of records that were fetched before, those that are not here yet."""
        for batch in fetched.batches:
            place = batch[0][:2]
            if (at := self._after(place)) > batch[0].offset:
                batch = batch.part(sum(record[2] < at for record in batch), len(batch))
                if not batch:
                    continue
            times_of = self._times_of.get(place[0])
            waiting = _Waiting(batch, [record[5] for record in batch] if times_of is None else times_of(batch))
            self._waiting[place].append(waiting)
            self.held[place] += len(batch)
            if place in self._empty:
                self._empty.discard(place)
                heappush(self._heads, (waiting.times[0], place))
        if fetched.batches:
            self._ends_are_new = False
        for topic, partition, offset in fetched.ends:
            self._reached[(topic, partition)] = max(offset, self._reached.get((topic, partition), 0))
            if (topic, partition) in self._empty:
                self._pass_gap((topic, partition))

    def to_fetch(self) -> dict[str, dict[int, int]]:
        """The offsets to fetch next: behind the records here, and behind what had no records."""
        offsets: dict[str, dict[int, int]] = {topic: {} for topic in self.positions}
        for topic, p in self.places:
            offsets[topic][p] = max(self._after((topic, p)), self._reached.get((topic, p), 0))
        return offsets

    def _after(self, place: Place) -> int:
        """The offset behind the records of a partition that are here."""
        queue, (topic, p) = self._waiting[place], place
        return queue[-1].batch[-1].offset + 1 if queue else self.positions[topic][p]

    def awaited(self) -> list[Place]:
        """The partitions whose records are not here yet, and are needed before others may go."""
        return [] if not self._heads else [(t, p) for t, p in self._empty if self._lacks(t, p)]

    def _lacks(self, topic: str, p: int) -> bool:
        """Whether a partition without records here is known to have some."""
        return self.positions[topic][p] < self._ends.get((topic, p), 0)

    def learn(self, ends: Mapping[Place, int]) -> None:
        """The ends of at least these partitions, as of after the last records that came."""
        self._ends.update({place: ends[place] for place in self.places})
        self._ends_are_new = True
        self.must_ask = False

    def take(self) -> list[tuple[int, Batch]]:
        """The records that may be given out now, as batches of (partition, records of one topic)."""
        found = []
        while self._heads and self._nothing_earlier_can_come():
            _, place = heappop(self._heads)
            found.append((place[1], self._take_from(place)))
        return found

    def _nothing_earlier_can_come(self) -> bool:
        if any(self._lacks(topic, p) for topic, p in self._empty):
            return False
        self.must_ask = bool(self._empty) and not self._ends_are_new
        return not self.must_ask

    def _take_from(self, place: Place) -> Batch:
        """The next records of a partition, up to the first that is later than another partition's."""
        waiting = self._waiting[place][0]
        times, start = waiting.times, waiting.at
        stop = start + 1
        if self._heads:
            bound = self._heads[0]
            while stop < len(times) and (times[stop] - self._ahead_ms, place) < bound:
                stop += 1
        else:
            stop = len(times)
        waiting.at = stop
        records = waiting.batch.part(start, stop)
        self.held[place] -= len(records)
        topic, partition = place
        self.positions[topic][partition] = records[-1].offset + 1
        self._next_head(place)
        return records

    def _next_head(self, place: Place) -> None:
        queue = self._waiting[place]
        if queue[0].at == len(queue[0].times):
            queue.popleft()
        if queue:
            heappush(self._heads, (queue[0].times[queue[0].at], place))
        else:
            self._empty.add(place)
            self._pass_gap(place)

    def _pass_gap(self, place: Place) -> None:
        """Move the position over offsets without records: control records, aborted, compacted and corrupt ones."""
        topic, partition = place
        self.positions[topic][partition] = max(self.positions[topic][partition], self._reached.get(place, 0))
