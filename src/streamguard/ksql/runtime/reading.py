"""Reading the topics of a query: positions, batches, and the order between several topics.

A query over one topic takes records as they come. One over several takes, partition by partition, the record with the
earliest time next, as Kafka Streams does: a partition without records is waited for only while the log has more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import groupby

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streamguard.ksql.operators.record import InputRecord
from streamguard.ksql.runtime.changelog import Positions
from streamguard.ksql.runtime.clients import TIMEOUT_S, input_record

BATCH = 5_000
IDLE_POLLS = 20
"""How often an empty partition is asked for before the others go on without it."""


class Reader:
    """The input of one query. `positions` is always the next offset that the query has not yet been given."""

    def __init__(
        self, client: Consumer, partitions: dict[str, int], positions: Positions, *, from_beginning: bool
    ) -> None:
        self.client = client
        self.positions: Positions = {topic: {} for topic in partitions}
        self._buffers: dict[tuple[str, int], deque[InputRecord]] = {}
        self._ends: dict[tuple[str, int], int] = {}
        self._many = len(partitions) > 1
        self._idle = 0
        assignment = []
        for topic, count in partitions.items():
            for partition in range(count):
                start = self._start(topic, partition, positions, from_beginning)
                self.positions[topic][partition] = start
                self._buffers[(topic, partition)] = deque()
                assignment.append(TopicPartition(topic, partition, start))
        client.assign(assignment)

    def _start(self, topic: str, partition: int, positions: Positions, from_beginning: bool) -> int:
        low, high = self.client.get_watermark_offsets(TopicPartition(topic, partition), timeout=TIMEOUT_S)
        self._ends[(topic, partition)] = high
        known = positions.get(topic, {}).get(partition)
        if known is None or known < 0 or known > high:
            return int(low if from_beginning else high)
        return int(max(low, known))

    def poll(self, timeout_s: float) -> list[tuple[int, list[InputRecord]]]:
        """Batches of (partition, records of one topic in order), waiting at most so long for the first record."""
        records = self._take(timeout_s)
        if not self._many:
            return self._grouped(records)
        for record in records:
            self._buffers[(record.topic, record.partition)].append(record)
        return list(self._in_time_order())

    def _take(self, timeout_s: float) -> list[InputRecord]:
        first = self.client.poll(timeout_s)
        if first is None:
            return []
        messages = [first, *self.client.consume(BATCH, 0)]
        found = []
        for message in messages:
            error = message.error()
            if error is None:
                found.append(input_record(message))
            elif error.code() not in (KafkaError._PARTITION_EOF, KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT):
                raise KafkaException(error)
        return found

    def _grouped(self, records: Sequence[InputRecord]) -> list[tuple[int, list[InputRecord]]]:
        batches: dict[int, list[InputRecord]] = {}
        for record in records:
            batches.setdefault(record.partition, []).append(record)
        for partition, batch in batches.items():
            self.positions[batch[0].topic][partition] = batch[-1].offset + 1
        return list(batches.items())

    def _in_time_order(self) -> Iterator[tuple[int, list[InputRecord]]]:
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

    def at_end(self) -> bool:
        """Whether all that the topics held when the reader was made has been given out."""
        return all(self.positions[t][p] >= end for (t, p), end in self._ends.items())

    def skip_gaps(self) -> None:
        """Move positions over offsets without records (control records, compacted ones), as the client has."""
        for topic, partitions in self.positions.items():
            for partition in partitions:
                if self._buffers[(topic, partition)]:
                    continue
                reached = self.client.position([TopicPartition(topic, partition)])[0].offset
                partitions[partition] = max(partitions[partition], reached)
