"""`streamguard topics` and `streamguard groups` against a running broker."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as Partition
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from typer.testing import CliRunner

from streamguard.cli.topics import groups_app, print_table, topics_app
from streamguard.kafka.overview import groups_of
from tests.support.broker import BrokerProcess, free_port


def run(app: object, address: str, *arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, [*arguments, "--bootstrap-servers", address])  # type: ignore[arg-type]
    assert result.exit_code == code, result.output
    return result.output


def test_a_table_is_as_wide_as_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """Short cells below long headings: a row was wrapped."""
    headings = ["topic", "partition", "committed", "end", "lag", "member"]
    print_table(headings, [["fraud_alerts", 0, 9999, 10029, 1, "streamguard-consumer-of-the-desk (/127.0.0.1)"]])
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_topics(broker: BrokerProcess, topic: str) -> None:
    address = broker.address
    assert f"Created {topic} with 2 partitions." in run(
        topics_app, address, "create", topic, "--partitions", "2", "--config", "retention.ms=60000"
    )
    assert "already exists" in run(topics_app, address, "create", topic, code=1)
    producer = KafkaProducer(bootstrap_servers=address, acks="all")
    producer.send(topic, b"x", partition=1).get(10)
    producer.close()
    described = run(topics_app, address, "describe", topic)
    assert [line.split() for line in described.splitlines()[1:3]] == [["0", "0", "0", "0"], ["1", "0", "1", "1"]]
    assert "retention.ms=60000" in described
    run(topics_app, address, "alter", topic, "--partitions", "4", "--config", "retention.ms=")
    described = run(topics_app, address, "describe", topic)
    assert len(described.splitlines()) == 5
    assert "removed" not in described
    admin = KafkaAdminClient(bootstrap_servers=address)
    admin.delete_records({TopicPartition(topic, 1): 1})
    admin.close()
    described = run(topics_app, address, "describe", topic)
    assert "1 records before the first offsets were removed by retention or DeleteRecords." in described
    (listed,) = (line.split() for line in run(topics_app, address, "list").splitlines() if topic in line)
    assert listed == [topic, "4", listed[2], "1"]
    run(topics_app, address, "delete", topic, "--yes")
    assert topic not in run(topics_app, address, "list")
    assert f"There is no topic {topic}." in run(topics_app, address, "describe", topic, code=1)


def test_groups(broker: BrokerProcess, topic: str) -> None:
    address = broker.address
    run(topics_app, address, "create", topic, "--partitions", "1")
    producer = KafkaProducer(bootstrap_servers=address, acks="all")
    for i in range(5):
        producer.send(topic, b"%d" % i)
    producer.flush()
    consumer = KafkaConsumer(topic, bootstrap_servers=address, group_id=topic, auto_offset_reset="earliest")
    assert consumer.poll(20_000)
    consumer.commit()
    producer.send(topic, b"5").get(10)
    producer.close()
    described = run(groups_app, address, "describe", topic)
    assert f"{topic}: Stable, 1 members" in described
    assert described.splitlines()[2].split()[:5] == [topic, "0", "5", "6", "1"]
    assert "kafka-python" in described
    consumer.close()
    listed = next(line for line in run(groups_app, address, "list").splitlines() if line.startswith(topic))
    assert listed.split() == [topic, "Empty", "1"]
    run(groups_app, address, "reset", topic, "--topic", topic, "--to", "2")
    assert run(groups_app, address, "describe", topic).splitlines()[2].split()[2] == "2"
    run(groups_app, address, "delete", topic)
    assert f"There is no group {topic}." in run(groups_app, address, "describe", topic, code=1)


def test_a_group_of_the_consumer_protocol_has_its_state(broker: BrokerProcess, topic: str) -> None:
    run(topics_app, broker.address, "create", topic, "--partitions", "1")
    reader = Consumer({"bootstrap.servers": broker.address, "group.id": topic, "group.protocol": "consumer"})
    reader.subscribe([topic])
    while not reader.assignment():
        reader.poll(0.1)
    reader.commit(offsets=[Partition(topic, 0, 0)], asynchronous=False)
    assert f"{topic}: Stable, of the consumer protocol" in run(groups_app, broker.address, "describe", topic)
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    (facts,) = groups_of(admin, [topic])
    admin.close()
    assert facts.state == "Stable", "not idle: its offsets cannot be moved"
    reader.close()


def test_no_broker_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamguard.cli.topics.BOOTSTRAP_TIMEOUT_MS", 500)
    address = f"127.0.0.1:{free_port()}"
    said = run(topics_app, address, "list", code=1)
    assert said.startswith(f"No Kafka answers at {address}")
    assert len(said.strip().splitlines()) == 1
