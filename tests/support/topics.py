"""What the broker of a test has stored."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka import KafkaConsumer
from kafka.structs import TopicPartition


def stored_count(address: str, topic: str = "transactions") -> int:
    """How many records the topic holds now."""
    consumer = KafkaConsumer(bootstrap_servers=address, enable_auto_commit=False)
    try:
        partitions = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic) or ()]
        return sum(consumer.end_offsets(partitions).values())
    finally:
        consumer.close()


def read_topic(address: str, topic: str = "transactions") -> list[Any]:
    """Every record of a topic, partition by partition, in the order of their offsets."""
    consumer = KafkaConsumer(bootstrap_servers=address, enable_auto_commit=False, max_poll_records=5000)
    try:
        partitions = [TopicPartition(topic, n) for n in sorted(consumer.partitions_for_topic(topic) or ())]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        records: list[Any] = []
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for batch in consumer.poll(timeout_ms=500).values():
                records.extend(batch)
        return sorted(records, key=lambda record: (record.partition, record.offset))
    finally:
        consumer.close()


@contextmanager
def group_member(address: str, topic: str, group: str) -> Iterator[KafkaConsumer]:
    """A consumer that is the one member of its group, with all partitions of the topic.

    kafka-python was seen to miss its assignment where the topic was made a moment ago: then another one joins.
    """
    for _ in range(6):
        consumer = KafkaConsumer(topic, bootstrap_servers=address, group_id=group, enable_auto_commit=False)
        try:
            deadline = time.monotonic() + 10
            while not consumer.assignment() and time.monotonic() < deadline:
                consumer.poll(timeout_ms=100)
            if consumer.assignment():
                yield consumer
                return
        finally:
            consumer.close(autocommit=False)
    raise AssertionError(f"no consumer of {topic} was assigned its partitions")
