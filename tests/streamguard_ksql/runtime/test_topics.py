"""The topics of statements: one that exists has to be what WITH says, and a deleted one stays deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import NewPartitions  # type: ignore[attr-defined]

from streamguard_ksql.errors import KsqlError
from streamguard_ksql.runtime import clients
from streamguard_ksql.runtime.clients import KafkaTopics
from tests.support.broker import BrokerProcess
from tests.support.engine import RunningEngine, create_topic, produce
from tests.support.kafka import KafkaProcess, kafka_possible

pytestmark = pytest.mark.integration
RECORDINGS = Path(__file__).parents[2] / "recordings" / "queries.json"
SOURCE = "CREATE STREAM s (k VARCHAR KEY, v INT) WITH (KAFKA_TOPIC='given', VALUE_FORMAT='JSON'{});"
COPY = "CREATE STREAM o WITH (KAFKA_TOPIC='o'{}) AS SELECT * FROM s;"


@pytest.fixture(params=["ours", pytest.param("kafka", marks=pytest.mark.kafka)])
def creating(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A Kafka that creates topics that a client asks for."""
    if request.param == "ours":
        with BrokerProcess(tmp_path / "broker", arguments=("--auto-create-topics",)) as broker:
            yield broker.address
        return
    if not kafka_possible():
        pytest.skip("Apache Kafka needs java and mvn on the PATH")
    with KafkaProcess(tmp_path / "kafka") as kafka:
        yield kafka.address


def test_a_producer_does_not_bring_a_topic_back(creating: str) -> None:
    topics = KafkaTopics(creating)
    create_topic(creating, "given", 3)
    producer = clients.producer(creating)
    producer.produce("given", b"{}")
    assert producer.flush(30) == 0
    topics.delete("given")
    producer.list_topics("given", timeout=10)  # what it does by itself every five minutes
    assert topics.partitions("given") is None
    clients.close_producer(producer)


def test_a_dropped_topic_stays_dropped(creating: str) -> None:
    engine = RunningEngine(creating)
    try:
        engine.sql(SOURCE.format(", PARTITIONS=3") + COPY.format(""))
        engine.sql("INSERT INTO s (k, v) VALUES ('a', 1);")
        engine.settle()
        engine.sql("DROP STREAM o DELETE TOPIC; DROP STREAM s DELETE TOPIC;")
        for topic in ("given", "o"):
            engine.runtime._inserter._producer.list_topics(topic, timeout=10)
        assert not {"given", "o"} & set(KafkaTopics(creating).all())
    finally:
        engine.close()


def recorded() -> str:
    """ksqlDB's sentence about a topic of one partition for which PARTITIONS says five."""
    [case] = [c for c in json.loads(RECORDINGS.read_bytes())["tests"] if "other partitions than" in c["name"]]
    return str(case["expectedException"]["message"])


def test_a_topic_with_other_partitions_is_refused_as_recorded(engine: RunningEngine, servers: str) -> None:
    create_topic(servers, "s", 1)
    found = KafkaTopics(servers).shape("s")
    assert found is not None
    with pytest.raises(KsqlError) as error:
        engine.sql("CREATE STREAM sx (a INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=5);")
    assert error.value.message == recorded().replace("604800000", str(found.retention_ms))


@pytest.mark.parametrize("wrong", ["PARTITIONS=2", "REPLICAS=3", "RETENTION_MS=1000", "PARTITIONS=3, REPLICAS=2"])
def test_what_differs_is_refused(engine: RunningEngine, servers: str, wrong: str) -> None:
    create_topic(servers, "given", 3)
    create_topic(servers, "o", 3)
    with pytest.raises(KsqlError, match="'given' already exists, with different partition"):
        engine.sql(SOURCE.format(f", {wrong}"))
    engine.sql(SOURCE.format(", PARTITIONS=3, REPLICAS=1"))
    with pytest.raises(KsqlError, match="'o' already exists, with different partition"):
        engine.sql(COPY.format(f", {wrong}"))
    engine.sql(COPY.format(", PARTITIONS=3, REPLICAS=1"))
    assert sorted(engine.runtime.engine.catalog.sources) == ["KSQL_PROCESSING_LOG", "O", "S"]


def test_partitions_that_were_added_do_not_undo_a_source(engine: RunningEngine, servers: str) -> None:
    """A statement that was carried out once is not checked again when the server starts."""
    engine.sql(SOURCE.format(", PARTITIONS=1") + COPY.format(", PARTITIONS=1"))
    add_partitions(servers, "given", 2)
    engine.restart()
    produce(servers, "given", [("k", {"V": 1})])
    engine.settle()
    assert len(engine.runtime.engine.queries) == 1


def add_partitions(servers: str, topic: str, count: int) -> None:
    topics = KafkaTopics(servers)
    topics.admin.create_partitions([NewPartitions(topic, count)])[topic].result(10)
