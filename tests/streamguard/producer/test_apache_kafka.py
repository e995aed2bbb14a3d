"""The same sink and topics against Apache Kafka: what the cluster stack runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from streamguard.config import Settings
from streamguard.kafka.topics import ensure_topics, topic_configs
from streamguard.producer.kafka_sink import KafkaSink
from streamguard.producer.record import Record
from streamguard.producer.runs import Recipe, Run
from tests.support.kafka import KafkaProcess, kafka_possible
from tests.support.topics import read_topic

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(not kafka_possible(), reason="needs java and mvn"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with KafkaProcess(tmp_path_factory.mktemp("kafka")) as process:
        yield process.address


def test_topics_records_headers_and_large_records(address: str) -> None:
    settings = Settings(KAFKA_BOOTSTRAP_SERVERS=address)  # type: ignore[call-arg]
    records = list(Run(Recipe(seed=7, fraud_share=0.2)).batch(5000, None, None, 0))
    large = Record(b"LARGE", b"x" * 5_000_000, 0)
    with closing(KafkaSink(settings, print, compression="lz4", wait_s=60)) as sink:
        for record in [*records, large]:
            sink.send(record)
        sink.finish()
        assert sink.acknowledged == 5001
    stored = read_topic(address)
    assert sorted((item.key, item.value) for item in stored) == sorted((r.key, r.value) for r in [*records, large])
    labels = {record.value: record.label.encode() for record in records}
    assert all(dict(item.headers)["label"] == labels.get(item.value, b"") for item in stored)
    assert ensure_topics(settings) == []
    wanted = topic_configs(settings)
    admin = KafkaAdminClient(bootstrap_servers=address)
    try:
        assert {t["name"]: len(t["partitions"]) for t in admin.describe_topics(list(wanted))} == dict.fromkeys(
            wanted, 3
        )
        for name, configs in wanted.items():
            described = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
            assert all(f"'{value}'" in str(described) for value in configs.values()), described
    finally:
        admin.close()
