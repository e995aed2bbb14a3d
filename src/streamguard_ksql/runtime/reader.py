"""Reading the topics of a query: positions, batches, and the order between several topics.

A query over one topic takes records as they come, together with the others that read it (see `shared_scan`). One over
several takes, partition by partition, the record with the earliest time next, as Kafka Streams does: a partition without
records is waited for only while its topic has more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

from confluent_kafka import Consumer, TopicPartition

from streamguard_ksql.operators.record import Batch, InputRecord
from streamguard_ksql.runtime.clients import KafkaTopics, Positions, as_partitions
from streamguard_ksql.runtime.corrupt import LostBatch, abandon
from streamguard_ksql.runtime.fetch import Fetched, fetch
from streamguard_ksql.runtime.scans import Scans
from streamguard_ksql.runtime.shared_scan import Member

IDLE_POLLS = 20
"""How often an empty partition is asked for before the others go on without it."""


class Reader:
    """The input of one query. `positions` is always the next offset that the query has not yet been given.

    `client` is its consumer, which it closes, by default the first that `connect` makes; another has to replace one that
    met a corrupt batch. `lost` is called for each corrupt batch that the query has to do without.
    """

    def __init__(
        self,
        connect: Callable[[], Consumer],
        topics: KafkaTopics,
        partitions: Mapping[str, int],
        known: Positions,
        *,
        from_beginning: bool,
        scans: Scans | None = None,
        lost: Callable[[LostBatch], None],
        client: Consumer | None = None,
    ) -> None:
        self.client = client or connect()
        self._connect = connect
        self._servers = topics.servers
        self._lost = lost
        self.positions: Positions = {topic: {} for topic in partitions}
        self._buffers: dict[tuple[str, int], deque[InputRecord]] = {}
        self._reached: dict[tuple[str, int], int] = {}
        self._many = len(partitions) > 1
        self._idle = 0
        wanted = [TopicPartition(t, p) for t, count in partitions.items() for p in range(count)]
        starts, self._ends = topics.offsets(wanted)
        for tp in wanted:
            key = (tp.topic, tp.partition)
            low, high = starts[key], self._ends[key]
            position = known.get(tp.topic, {}).get(tp.partition)
            if position is None or position < 0 or position > high:
                # Nothing known, or the topic is another one than it was: as Kafka's auto.offset.reset has it.
                position = low if from_beginning else high
            self.positions[tp.topic][tp.partition] = max(low, position)
            self._buffers[key] = deque()
        self._scan = scans.of(wanted[0].topic) if scans is not None and not self._many else None
        self._member: Member | None = None
        self._alone = False

    def close(self) -> None:
        """Leave what is read together, and close the client."""
        if self._scan is not None and self._member is not None:
            self._scan.leave(self._member)
        self.client.close()

    def poll(self, timeout_s: float) -> list[tuple[int, Sequence[InputRecord]]]:
        """Batches of (partition, records of one topic in order), waiting at most so long for the first record."""
        fetched = self._fetch(timeout_s)
        for lost in fetched.lost:
            if lost.end > self.positions[lost.topic][lost.partition]:
                self._lost(lost)
        if fetched.lost and self._alone:
            abandon(self.client)
            self.client = self._connect()
            self._alone = False
        if self._many:
            for batch in fetched.batches:
                self._buffers[batch[0][:2]].extend(batch)
            self._reach(fetched.ends)
            return list(self._in_time_order())
        batches = [self._new(batch) for batch in fetched.batches]
        for batch in batches:
            if batch:
                self.positions[batch[-1].topic][batch[-1].partition] = batch[-1].offset + 1
        self._reach(fetched.ends)
        return [(batch[0].partition, batch) for batch in batches if batch]

    def _new(self, batch: Batch) -> Batch:
        """The records that the query has not been given yet: reading together may go over some again."""
        position = self.positions[batch[0].topic][batch[0].partition]
        return batch if batch[0].offset >= position else Batch([r for r in batch if r.offset >= position])

    def _fetch(self, timeout_s: float) -> Fetched:
        """From what is read together if the query is near enough to the others, else by its own client."""
        if self._scan is not None:
            if self._member is None:
                self._member = self._scan.join(next(iter(self.positions.values())))
            if self._member is not None:
                if self._alone:
                    self.client.unassign()
                    self._alone = False
                found = self._scan.take(self._member, timeout_s)
                if found is not None:
                    return found
                self._member = None
                return Fetched([], [])
        if not self._alone:
            self.client.assign(as_partitions(self._to_fetch()))
            self._alone = True
        return fetch(self.client, self._servers, timeout_s)

    def _to_fetch(self) -> Positions:
        """The next offset to fetch in each partition: behind what is in its buffer, or what was read to no avail."""
        wanted: Positions = {topic: {} for topic in self.positions}
        for (topic, partition), buffer in self._buffers.items():
            at = buffer[-1].offset + 1 if buffer else self.positions[topic][partition]
            wanted[topic][partition] = max(at, self._reached.get((topic, partition), 0))
        return wanted

    def _reach(self, ends: Sequence[tuple[str, int, int]]) -> None:
        """Note which partitions have been read to an offset at which there was nothing more."""
        for topic, partition, offset in ends:
            self._reached[(topic, partition)] = offset
            self._pass_gap((topic, partition))

    def _pass_gap(self, key: tuple[str, int]) -> None:
        """Move the position over offsets without records: control records, aborted, compacted and corrupt ones."""
        if not self._buffers[key]:
            topic, partition = key
            self.positions[topic][partition] = max(self.positions[topic][partition], self._reached.get(key, 0))

    def _in_time_order(self) -> Iterator[tuple[int, Sequence[InputRecord]]]:
        """Merge the buffered records by time, as long as no partition that has more to come is empty."""
        if any(self._expects_more(key) for key, buffer in self._buffers.items() if not buffer):
            self._idle += 1
            if self._idle < IDLE_POLLS:
                return
        self._idle = 0
        taken: list[InputRecord] = []
        waiting = {key for key, buffer in self._buffers.items() if buffer}
        while waiting:
            key = min(waiting, key=lambda k: (self._buffers[k][0].time, k))
            record = self._buffers[key].popleft()
            taken.append(record)
            self.positions[record.topic][record.partition] = record.offset + 1
            if not self._buffers[key]:
                self._pass_gap(key)
                waiting.discard(key)
                if self._expects_more(key):
                    break
        for (_, partition), group in groupby(taken, key=lambda r: (r.topic, r.partition)):
            yield partition, list(group)

    def _expects_more(self, key: tuple[str, int]) -> bool:
        topic, partition = key
        _, high = self.client.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
        self._ends[key] = max(self._ends[key], high)
        return self.positions[topic][partition] < self._ends[key]

    def ends(self) -> dict[tuple[str, int], int]:
        """Where the partitions end, as far as is known."""
        return dict(self._ends)

    def has_passed(self, ends: Mapping[tuple[str, int], int]) -> bool:
        """Whether all records before these offsets have been given out."""
        return all(self.positions[t][p] >= end for (t, p), end in ends.items())
