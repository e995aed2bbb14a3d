"""What the tests of topics, groups, dead letters and SQL share: a desk whose Kafka is a real broker."""

from __future__ import annotations

import dataclasses
from typing import Any

from kafka import KafkaAdminClient, KafkaProducer

from streamguard.config import load_settings
from tests.support.broker import BrokerProcess
from tests.support.desk import Desk

FRAGMENT = {"x-requested-with": "desk"}
EVIL = "<script>alert(1)</script>"


def on_broker(desk: Desk, broker: BrokerProcess, **more: Any) -> Desk:
    """The store, with the settings of a desk on this broker."""
    settings = load_settings(
        database_url=desk.postgres.url(), consumer_group="test", kafka_bootstrap_servers=broker.address, **more
    )
    return dataclasses.replace(desk, settings=settings)


def make_topic(broker: BrokerProcess, name: str, partitions: int = 2) -> None:
    client = KafkaAdminClient(bootstrap_servers=broker.address)
    client.create_topics({name: {"num_partitions": partitions, "replication_factor": 1}})
    client.close()


def produce(broker: BrokerProcess, topic: str, *records: dict[str, Any]) -> None:
    """Write records; each has what `KafkaProducer.send` takes."""
    producer = KafkaProducer(bootstrap_servers=broker.address)
    for record in records:
        producer.send(topic, **{"partition": 0, **record}).get(timeout=30)
    producer.close()


def audit(desk: Desk, action: str) -> list[tuple[object, ...]]:
    """Who did what to what, and why, with the values before and after."""
    return desk.rows(
        "SELECT done_by, subject, reason, value_before, value_after FROM audit_log WHERE action = %s ORDER BY entry_no",
        action,
    )
