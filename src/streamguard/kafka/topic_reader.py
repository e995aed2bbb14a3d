"""Reading a topic from given offsets to its end: once, outside of any consumer group."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from kafka import TopicPartition
from kafka.errors import CorruptRecordError

from streamguard.config.errors import UserError
from streamguard.kafka import clients
from streamguard.kafka.clients import Servers
from streamguard.kafka.corrupt import skip_corrupt

NO_PROGRESS_S = 30.0
_POLL_MS = 500


class TopicNotRead(UserError):
    """The broker did not return all records of a topic in time: nothing can be said of what is in it."""


class TopicReader:
    """The committed records of one topic as it is now: `for record in reader`. What is written meanwhile is left out.

    `start` is the first offset to read of each partition; partitions that are not in it are read from their beginning, and
    so is a partition that ends before its `start` (the topic was made anew). Corrupt batches are logged and left out. After
    the iteration `ends` holds the offsets behind the last record, and `begins` those of the first that there still is.
    """

    def __init__(self, servers: Servers, topic: str, start: Mapping[int, int] | None = None) -> None:
        self._servers = servers
        self._topic = topic
        self._start = start or {}
        self.ends: dict[int, int] = {}
        self.begins: dict[int, int] = {}

    def __iter__(self) -> Iterator[Any]:
        """The records, in their order within each partition. Raises TopicNotRead, kafka.errors.KafkaError."""
        consumer = clients.consumer(
            self._servers,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            max_poll_records=5_000,
            bootstrap_timeout_ms=5_000,
        )
        try:
            numbers = sorted(consumer.partitions_for_topic(self._topic) or ())
            partitions = [TopicPartition(self._topic, number) for number in numbers]
            if not partitions:
                return
            ends = consumer.end_offsets(partitions)
            self.ends = {partition.partition: end for partition, end in ends.items()}
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            self.begins = {partition.partition: consumer.position(partition) for partition in partitions}
            for partition in partitions:
                start = self._start.get(partition.partition, 0)
                if 0 < start <= ends[partition]:
                    consumer.seek(partition, max(start, consumer.position(partition)))
            yield from self._records(consumer, ends)
        finally:
            consumer.close(autocommit=False)

    def _records(self, consumer: Any, ends: Mapping[TopicPartition, int]) -> Iterator[Any]:
        # The position counts too: markers of transactions and aborted records are offsets without a record.
        progress, progressed_at = sum(map(consumer.position, ends)), time.monotonic()
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            try:
                polled = consumer.poll(timeout_ms=_POLL_MS)
            except CorruptRecordError as error:
                skip_corrupt(self._servers, consumer, error)
                continue
            for partition, records in polled.items():
                yield from (record for record in records if record.offset < ends[partition])
            position = sum(map(consumer.position, ends))
            if position != progress:
                progress, progressed_at = position, time.monotonic()
            elif time.monotonic() - progressed_at > NO_PROGRESS_S:
                raise TopicNotRead(
                    f"the topic {self._topic} could not be read to its end: no record in {NO_PROGRESS_S:.0f} s;"
                    " see `streamguard status`, then try again"
                )
