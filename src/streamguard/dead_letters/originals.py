"""Records as they came, read from their topics by place: there they have their headers, and personal data in the clear."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kafka import TopicPartition
from kafka.errors import CorruptRecordError

from streamguard.dead_letters.find import Place
from streamguard.kafka import clients
from streamguard.kafka.clients import Servers

_POLL_MS = 500
_READ_WITHIN_S = 10.0


@dataclass(frozen=True)
class Original:
    """A record with its headers."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Originals:
    """The records of a broker; places are best asked for in the order of their offsets."""

    def __init__(self, servers: Servers) -> None:
        self._consumer = clients.consumer(
            servers,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            allow_auto_create_topics=False,
            bootstrap_timeout_ms=5_000,
        )
        self._partition: TopicPartition | None = None
        self._span = range(0)
        self._read: dict[int, Any] = {}

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close(autocommit=False)

    def has_topic(self, topic: str) -> bool:
        """Whether the broker has it."""
        return bool(self._consumer.partitions_for_topic(topic))

    def at(self, place: Place) -> Original | None:
        """The record at a place; None where the topic does not have it any more. Raises kafka.errors.KafkaError."""
        self._assign(place)
        if place.offset not in self._read and place.offset in self._span:
            self._fetch(place.offset)
        record = self._read.get(place.offset)
        return None if record is None else Original(record.key, record.value, tuple(record.headers))

    def _assign(self, place: Place) -> None:
        partition = TopicPartition(place.topic, place.partition)
        if partition == self._partition:
            return
        self._partition, self._read, self._span = partition, {}, range(0)
        if place.partition not in (self._consumer.partitions_for_topic(place.topic) or ()):
            return
        first, end = self._consumer.beginning_offsets([partition]), self._consumer.end_offsets([partition])
        self._span = range(first[partition], end[partition])
        self._consumer.assign([partition])

    def _fetch(self, offset: int) -> None:
        """Read on from an offset: the record there, and those that come with it."""
        assert self._partition is not None
        self._consumer.seek(self._partition, offset)
        deadline = time.monotonic() + _READ_WITHIN_S
        try:
            while time.monotonic() < deadline and self._consumer.position(self._partition) <= offset:
                for records in self._consumer.poll(timeout_ms=_POLL_MS).values():
                    self._read = {record.offset: record for record in records}
        except CorruptRecordError:
            # The client is of no more use in this partition.
            self._span = range(0)
