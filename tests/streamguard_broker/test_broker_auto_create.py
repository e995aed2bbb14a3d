"""Topics are made by CreateTopics alone: whoever only names one gets an error, also after the data was wiped."""

from __future__ import annotations

import shutil
from pathlib import Path

import confluent_kafka
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # re-exported without __all__
from kafka import KafkaConsumer

from tests.support.broker import BrokerProcess


def topics(broker: BrokerProcess) -> dict[str, int]:
    """Each topic with its number of partitions."""
    known = AdminClient({"bootstrap.servers": broker.address}).list_topics(timeout=10).topics
    return {name: len(topic.partitions) for name, topic in known.items()}


def test_naming_a_topic_does_not_create_it(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path / "broker") as broker:
        admin = AdminClient({"bootstrap.servers": broker.address, "allow.auto.create.topics": True})
        assert admin.list_topics("named", timeout=10).topics["named"].error is not None
        consumer = KafkaConsumer(bootstrap_servers=broker.address, allow_auto_create_topics=True)
        assert not consumer.partitions_for_topic("named")
        consumer.close()
        assert topics(broker) == {}


def test_a_producer_that_outlives_a_wipe_does_not_create_its_topic_again(tmp_path: Path) -> None:
    broker = BrokerProcess(tmp_path / "broker")
    with broker:
        admin = AdminClient({"bootstrap.servers": broker.address})
        admin.create_topics([NewTopic("payments", 3, 1)])["payments"].result(10)
        settings = {"bootstrap.servers": broker.address, "topic.metadata.refresh.interval.ms": 50, "log_level": 0}
        producer = confluent_kafka.Producer({**settings, "message.timeout.ms": 2000})
        producer.produce("payments", b"before")
        assert producer.flush(10) == 0
        broker.stop()
        shutil.rmtree(broker.data_dir)
        broker.start()
        failed: list[confluent_kafka.KafkaError | None] = []
        producer.produce("payments", b"after", callback=lambda error, _: failed.append(error))
        producer.flush(20)
        assert failed and failed[0] is not None
        assert topics(broker) == {}
