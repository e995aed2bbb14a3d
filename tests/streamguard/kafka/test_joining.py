"""A member of a group has its partitions and their records, however little time each of its polls has for joining."""

from __future__ import annotations

import time

import pytest
from kafka import KafkaAdminClient, KafkaProducer

from streamguard.kafka import clients
from tests.support.broker import BrokerProcess


@pytest.mark.parametrize("poll_ms", [1, 3, 10, 200])
@pytest.mark.parametrize("instance", [None, "member-1"])
def test_a_member_reads_however_short_its_polls_are(
    broker: BrokerProcess, topic: str, poll_ms: int, instance: str | None
) -> None:
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    admin.create_topics({topic: {"num_partitions": 3, "replication_factor": 1}})
    admin.close()
    producer = KafkaProducer(bootstrap_servers=broker.address)
    producer.send(topic, b"a record").get(timeout=10)
    producer.close()
    for _ in range(3):
        member = clients.consumer(
            broker.address,
            group_id=f"g-{topic}",
            group_instance_id=instance,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        member.subscribe([topic])
        deadline_s = time.monotonic() + 30
        try:
            while not member.poll(timeout_ms=poll_ms):
                assert time.monotonic() < deadline_s, "the member reads nothing"
        finally:
            member.close(autocommit=False)
