"""The first and the last records of each partition of a topic: what there is to see without reading it all."""

from __future__ import annotations

import time
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NamedTuple

from kafka import TopicPartition
from kafka.errors import CorruptRecordError

from streamguard.ingest.topics.errors import UnusableTopic
from streamguard.kafka import clients
from streamguard.kafka.clients import Servers
from streamguard.kafka.corrupt import skip_corrupt

RECORDS = 1_000
_PATIENCE_S = 30.0
_POLL_MS = 500


class Raw(NamedTuple):
    """One record: key and value as bytes, or None."""

    key: bytes | None
    value: bytes | None


@dataclass(frozen=True)
class Sample:
    """Records of a topic, and how many offsets it holds in all."""

    topic: str
    records: list[Raw]
    total: int


def read_sample(servers: Servers, topic: str, most: int = RECORDS) -> Sample:
    """Up to `most` records, half of them the earliest, half the latest, an equal share of each partition.

    Raises UnusableTopic where the topic is not there, is empty, or is not read in time; kafka.errors.KafkaError.
    """
    consumer = clients.consumer(
        servers,
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        bootstrap_timeout_ms=5_000,
    )
    try:
        partitions = _partitions(consumer, topic)
        consumer.assign(partitions)
        begins, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
        share = max(1, most // (2 * len(partitions)))
        records: list[Raw] = []
        for partition in partitions:
            begin, end = begins[partition], ends[partition]
            late = max(begin + share, end - share)
            records += _between(servers, consumer, partition, begin, min(begin + share, end))
            records += _between(servers, consumer, partition, late, end)
        total = sum(ends[partition] - begins[partition] for partition in partitions)
    finally:
        consumer.close(autocommit=False)
    if not records:
        raise UnusableTopic(
            f"the topic {topic} holds no records: nothing can be said of its payments until there are some"
        )
    return Sample(topic, records, total)


def _partitions(consumer: Any, topic: str) -> list[TopicPartition]:
    topics = consumer.topics()
    if topic not in topics:
        near = get_close_matches(topic, topics, n=1)
        hint = f"; there is {near[0]}" if near else ""
        raise UnusableTopic(f"the broker has no topic {topic}{hint}: `streamguard topics` lists them")
    return [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]


def _between(servers: Servers, consumer: Any, partition: TopicPartition, begin: int, end: int) -> list[Raw]:
    """The records from `begin` up to `end`. The position counts: markers of transactions are offsets without a record."""
    found: list[Raw] = []
    if begin >= end:
        return found
    consumer.pause(*consumer.assignment())
    consumer.resume(partition)
    consumer.seek(partition, begin)
    progressed_at = time.monotonic()
    while consumer.position(partition) < end:
        before = consumer.position(partition)
        try:
            polled = consumer.poll(timeout_ms=_POLL_MS).get(partition, ())
        except CorruptRecordError as error:
            skip_corrupt(servers, consumer, error)
            continue
        found += [Raw(record.key, record.value) for record in polled if record.offset < end]
        if consumer.position(partition) != before:
            progressed_at = time.monotonic()
        elif time.monotonic() - progressed_at > _PATIENCE_S:
            raise UnusableTopic(
                f"the topic {partition.topic} could not be read: no record in {_PATIENCE_S:.0f} s; "
                "see `streamguard status`, then try again"
            )
    return found
