"""A broker of our own for the suites that send, and what it has stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer
from kafka.structs import TopicPartition

from tests.support.broker import BrokerProcess


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    """A broker with nothing in it."""
    with BrokerProcess(tmp_path / "log") as process:
        yield process


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
