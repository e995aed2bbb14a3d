"""What retention removes: nothing unless it is asked for, and then it is counted, logged and shown."""

from __future__ import annotations

import logging
import urllib.request
from dataclasses import replace
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic  # type: ignore[attr-defined]  # re-exported without __all__
from kafka import KafkaAdminClient, TopicPartition

from streamguard_broker.broker import Broker
from streamguard_broker.options import BrokerOptions
from streamguard_broker.storage.batch import read_header
from streamguard_broker.storage.log import PartitionLog
from streamguard_broker.storage.records import build_batch
from tests.streamguard_broker.test_broker_log_model import CONFIG, FOLDER
from tests.support.broker import BrokerProcess, free_port
from tests.support.manual_clock import ManualClock
from tests.support.memory_fs import MemoryFileSystem

YEARS_AGO_MS = 1_500_000_000_000
DAY_MS = 24 * 3600 * 1000


def put(partition: PartitionLog, count: int, timestamp_ms: int) -> None:
    for _ in range(count):
        batch = build_batch([(None, b"x" * 50)], timestamp_ms)
        partition.append(batch, read_header(batch))


def opened(fs: MemoryFileSystem) -> PartitionLog:
    return PartitionLog(FOLDER, fs, ManualClock(), CONFIG)


def test_a_topic_without_settings_keeps_records_of_any_age(tmp_path: Path) -> None:
    clock = ManualClock()
    broker = Broker(BrokerOptions(tmp_path), clock=clock)
    topic = broker.catalog.create("payments", 1)
    put(topic.partitions[0], 3, YEARS_AGO_MS)
    clock.now_ms += 3650 * DAY_MS
    broker.enforce_retention()
    assert (topic.partitions[0].start_offset, topic.partitions[0].end_offset) == (0, 3)


def test_every_place_shows_the_same_default(tmp_path: Path) -> None:
    for defaults, shown in (((), "-1"), (("--topic-default", "retention.ms=5000"), "5000")):
        with BrokerProcess(tmp_path / shown, arguments=defaults) as broker:
            admin = AdminClient({"bootstrap.servers": broker.address})
            admin.create_topics([NewTopic("payments", 1, 1)])["payments"].result(10)
            topic, node = ConfigResource("topic", "payments"), ConfigResource("broker", "1")
            described = {r: f.result(10) for r, f in admin.describe_configs([topic, node]).items()}
            assert described[topic]["retention.ms"].value == shown
            assert described[node]["log.retention.ms"].value == shown


def test_what_was_removed_is_counted_by_reason_and_over_restarts(caplog: pytest.LogCaptureFixture) -> None:
    fs = MemoryFileSystem()
    partition = opened(fs)
    put(partition, 40, ManualClock().wall_ms())
    assert partition.removed == (0, 0)
    partition.delete_before(13)
    assert partition.removed == (0, 13)
    partition.config = replace(CONFIG, retention_bytes=600)
    with caplog.at_level(logging.INFO):
        partition.enforce_retention()
    by_retention = partition.start_offset - 13
    assert by_retention > 0 and partition.removed == (by_retention, 13)
    assert f"retention removed offsets 13 to {partition.start_offset - 1}" in caplog.text
    partition.close()
    again = opened(fs)
    assert again.removed == (by_retention, 13)
    again.delete_before(again.end_offset)
    assert again.removed == (by_retention, 40 - by_retention)


def test_a_start_offset_that_an_earlier_version_wrote_is_one_of_a_request() -> None:
    fs = MemoryFileSystem()
    partition = opened(fs)
    put(partition, 4, 1)
    partition.close()
    fs.replace_file(FOLDER / "log-start-offset", b"3")
    again = opened(fs)
    assert (again.start_offset, again.removed) == (3, (0, 3))


def test_the_metrics_have_what_was_removed(tmp_path: Path) -> None:
    metrics = f"127.0.0.1:{free_port()}"
    with BrokerProcess(tmp_path / "broker", arguments=("--auto-create-topics", "--metrics", metrics)) as broker:
        producer = confluent_kafka.Producer({"bootstrap.servers": broker.address})
        for _ in range(3):
            producer.produce("payments", b"x")
        assert producer.flush(10) == 0
        admin = KafkaAdminClient(bootstrap_servers=broker.address)
        admin.delete_records({TopicPartition("payments", 0): 2})
        admin.close()
        with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    name = "streamguard_broker_removed_offsets_total"
    assert f'{name}{{topic="payments",partition="0",reason="DeleteRecords"}} 2' in lines
    assert f'{name}{{topic="payments",partition="0",reason="retention"}} 0' in lines
    assert 'streamguard_broker_log_start_offset{topic="payments",partition="0"} 2' in lines
