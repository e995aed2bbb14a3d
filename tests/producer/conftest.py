"""A broker of our own for the suites that send, and what it has stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer
from kafka.structs import TopicPartition

from streamguard.config import get_settings
from tests.support.broker import BrokerProcess


@pytest.fixture(autouse=True)
def _settings_are_read_anew() -> Iterator[None]:
    """Commands that run in this process have environments of their own."""
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.fixture(scope="session")
def _process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path_factory.mktemp("broker") / "log") as process:
        yield process


@pytest.fixture
def broker(_process: BrokerProcess) -> BrokerProcess:
    """A broker without topics: one process for all tests, started again after a test that killed it."""
    assert _process.process is not None
    if _process.process.poll() is not None:
        _process.start()
    admin = KafkaAdminClient(bootstrap_servers=_process.address)
    try:
        admin.delete_topics(list(admin.list_topics()))
    finally:
        admin.close()
    return _process


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
