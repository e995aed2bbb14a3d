"""One connection to Kafka that reads the topics for a sink, in batches.

The partitions are assigned by hand, not by a group: nothing is lost to a rebalance while the destination is unavailable, and a
process that was killed has its successor at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import CorruptRecordError, KafkaError

from streamguard.config import Settings
from streamguard.kafka import clients
from streamguard.kafka.corrupt import skip_corrupt
from streamguard.kafka.topics import ensure_topics
from streamguard.metrics.sink import SinkMetrics
from streamguard.sinks.base import Batch, Rereading, Sink, SinkError, SinkRecord

log = logging.getLogger("streamguard.sinks")

POLL_MS = 200
MEASURE_S = 5.0
"""How often it is asked how long the topics are, and whether they have more partitions."""
MOST_BYTES = 64 * 1024 * 1024
"""A batch is written when its keys and values have so many bytes, whatever else it waits for."""


class PartitionsChanged(Exception):
    """A topic has more partitions than are read, or is another one: the reading begins again."""


class Reading:
    """Reads from the offsets that a sink has. Within a `with`; raises KafkaError."""

    def __init__(
        self, settings: Settings, topics: Sequence[str], group: str | None, batch: Batch, metrics: SinkMetrics
    ) -> None:
        ensure_topics(settings)
        self._settings, self._topics, self._group = settings, topics, group
        self._batch, self._metrics = batch, metrics
        self._consumer = clients.consumer(
            settings.kafka,
            client_id="streamguard-sink",
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_poll_records=min(settings.batch_max_records, batch.records),
            metadata_max_age_ms=30_000,
            bootstrap_timeout_ms=5_000,
        )
        self._pending: list[SinkRecord] = []
        self._bytes, self._since_s, self._measured_s = 0, 0.0, 0.0
        self._written: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._partitions: list[TopicPartition] = []

    def __enter__(self) -> Reading:
        try:
            self._partitions = self._found()
        except BaseException:
            self._consumer.close(autocommit=False)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close(autocommit=False)

    def seek(self, sink: Sink) -> None:
        """Continue where the sink is; report what retention deleted meanwhile.

        Raises SinkUnavailable, and SinkError where the sink is ahead of a topic.
        """
        self._drop()
        offsets = {topic: sink.next_offsets(topic) for topic in self._topics}
        self._consumer.assign(self._partitions)
        first = self._consumer.beginning_offsets(self._partitions)
        ends = self._consumer.end_offsets(self._partitions)
        for partition in self._partitions:
            offset = offsets[partition.topic].get(partition.partition, 0)
            if offset > ends[partition]:
                raise SinkError(
                    f"{partition.topic}/{partition.partition} ends at {ends[partition]}, and the sink has what is before"
                    f" {offset}: the topic was made anew; give the sink another destination, or empty this one"
                )
            if 0 < offset < first[partition]:
                log.error(
                    "%s/%d begins at %d now: offsets from %d on were deleted before they were read",
                    *partition,
                    first[partition],
                    offset,
                )
            self._consumer.seek(partition, max(offset, first[partition]))
            self._written[partition] = max(offset, first[partition])
        self._commit()
        self.measure()
        self._is_back(self._metrics.connected())

    def copy(self, sink: Sink, stop: threading.Event, to_end: bool) -> None:
        """Until `stop` is set, or up to where the topics end now. Raises SinkError, PartitionsChanged."""
        ends = self._consumer.end_offsets(self._partitions) if to_end else {}
        while not stop.is_set():
            if to_end and all(self._consumer.position(partition) >= end for partition, end in ends.items()):
                break
            self._poll()
            if self._is_due():
                self._write(sink)
            if time.monotonic() - self._measured_s > MEASURE_S:
                self.measure()
                self._is_back(self._metrics.connected())
                if self._found() != self._partitions:
                    self._write(sink)
                    raise PartitionsChanged("a topic has more partitions: they are read too")
                if isinstance(sink, Rereading) and sink.is_outdated():
                    raise PartitionsChanged("a topic was made anew: it is read from its beginning")
        self._write(sink)
        self.measure()

    def measure(self) -> None:
        """Tell how many records of each topic the sink does not have."""
        behind: Counter[str] = Counter()
        for partition, end in self._consumer.end_offsets(self._partitions).items():
            behind[partition.topic] += max(0, end - self._written.get(partition, 0))
        self._metrics.behind(behind)
        self._measured_s = time.monotonic()

    def _is_back(self, was_unavailable: bool) -> None:
        if was_unavailable:
            log.info("the destination takes records again: reading continues behind what it has")

    def _found(self) -> list[TopicPartition]:
        return [
            TopicPartition(topic, number)
            for topic in self._topics
            for number in sorted(self._consumer.partitions_for_topic(topic) or ())
        ]

    def _poll(self) -> None:
        try:
            polled = self._consumer.poll(timeout_ms=POLL_MS)
        except CorruptRecordError as error:
            skip_corrupt(self._settings.kafka, self._consumer, error)
            return
        if polled and not self._pending:
            self._since_s = time.monotonic()
        for records in polled.values():
            for r in records:
                self._pending.append(
                    SinkRecord(r.topic, r.partition, r.offset, r.key, r.value, r.timestamp, tuple(r.headers))
                )
                self._bytes += len(r.key or b"") + len(r.value or b"")

    def _is_due(self) -> bool:
        waited_s = time.monotonic() - self._since_s
        return waited_s >= self._batch.seconds or len(self._pending) >= self._batch.records or self._bytes > MOST_BYTES

    def _write(self, sink: Sink) -> None:
        if self._pending:
            sink.write(self._pending)
            sizes = [(r.topic, len(r.key or b"") + len(r.value or b"")) for r in self._pending]
            self._is_back(self._metrics.written(sizes, time.time()))
        self._drop()
        # The position is also behind markers of transactions, which are no records.
        self._written = {partition: self._consumer.position(partition) for partition in self._partitions}
        self._commit()

    def _drop(self) -> None:
        self._pending, self._bytes = [], 0

    def _commit(self) -> None:
        """For others to see. The sink's own offsets are those that count, so an error here is no reason to stop."""
        moved = {p: offset for p, offset in self._written.items() if offset and self._committed.get(p) != offset}
        if not self._group or not moved:
            return
        try:
            self._consumer.commit({p: OffsetAndMetadata(offset, "", -1) for p, offset in moved.items()})
        except KafkaError as error:
            log.warning("the group %s was not told of the offsets: %s", self._group, error)
            return
        self._committed.update(moved)
