"""Java clients: Kafka's command-line tools, and a Kafka Streams application with exactly-once processing."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka import TopicPartition as Tp

from tests.support.broker import BrokerProcess
from tests.support.kafka import jars, java_tool, kafka_possible

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(not kafka_possible(), reason="java or mvn is not installed"),
]


def last_values(address: str, topic: str) -> dict[bytes, bytes]:
    """The newest value of each key, of committed records."""
    reader = Consumer(
        {"bootstrap.servers": address, "group.id": "last", "isolation.level": "read_committed", "log_level": 0}
    )
    reader.assign([Tp(topic, 0, 0)])
    values: dict[bytes, bytes] = {}
    while messages := reader.consume(1000, 0.3):
        values.update({m.key() or b"": m.value() or b"" for m in messages if m.error() is None})
    reader.close()
    return values


def test_kafka_streams_counts_exactly_once(broker: BrokerProcess, tmp_path: Path, topic: str) -> None:
    producer = Producer({"bootstrap.servers": broker.address})
    source = Path(__file__).parent / "java" / "CountByKey.java"
    producer.produce(topic, b"a", b"k")
    producer.produce(f"{topic}-out", b"0", b"none")
    producer.flush()
    command = [
        "java",
        "-Xmx256m",
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-cp",
        f"{jars()}/*",
        str(source),
        broker.address,
        f"app-{topic}",
        topic,
    ]
    log = (tmp_path / "streams").open("wb")
    with log, subprocess.Popen([*command, f"{topic}-out", str(tmp_path / "state")], stdout=log, stderr=log) as app:
        try:
            for number in range(2000):
                producer.produce(topic, b"%c" % (97 + number % 5), b"k")
                producer.flush() if number % 500 == 0 else None
            producer.flush()
            expected = {b"a": b"401", b"b": b"400", b"c": b"400", b"d": b"400", b"e": b"400"}
            deadline = time.monotonic() + 60
            found: dict[bytes, bytes] = {}
            while found != expected:
                assert time.monotonic() < deadline, (found, (tmp_path / "streams").read_text()[-3000:])
                assert app.poll() is None, (tmp_path / "streams").read_text()[-3000:]
                found = last_values(broker.address, f"{topic}-out")
                found.pop(b"none", None)
        finally:
            app.kill()


def test_the_topic_and_group_commands(shared_broker: BrokerProcess, topic: str) -> None:
    server = ("--bootstrap-server", shared_broker.address)
    made = java_tool(
        "org.apache.kafka.tools.TopicCommand", *server, "--create", "--topic", topic, "--partitions", "3",
        "--config", "retention.ms=1000",
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    shown = java_tool("org.apache.kafka.tools.TopicCommand", *server, "--describe", "--topic", topic).stdout
    assert "PartitionCount: 3" in shown
    assert "retention.ms=1000" in shown
    reader = Consumer({"bootstrap.servers": shared_broker.address, "group.id": topic, "auto.offset.reset": "earliest"})
    producer = Producer({"bootstrap.servers": shared_broker.address})
    producer.produce(topic, b"x", partition=1)
    producer.flush()
    reader.subscribe([topic])
    while reader.poll(0.5) is None:
        pass
    reader.commit(asynchronous=False)
    group = java_tool(
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", *server, "--describe", "--group", topic
    )
    assert topic in group.stdout, group.stdout + group.stderr
    reader.close()
    changed = java_tool(
        "kafka.admin.ConfigCommand", *server, "--alter", "--entity-type", "topics", "--entity-name", topic,
        "--add-config", "cleanup.policy=compact",
    )  # fmt: skip
    assert changed.returncode == 0, changed.stdout + changed.stderr
    offsets = java_tool("org.apache.kafka.tools.GetOffsetShell", *server, "--topic", topic)
    assert f"{topic}:1:1" in offsets.stdout, offsets.stdout + offsets.stderr


def test_the_performance_tools(shared_broker: BrokerProcess, topic: str) -> None:
    produced = java_tool(
        "org.apache.kafka.tools.ProducerPerformance", "--topic", topic, "--num-records", "20000",
        "--record-size", "300",
        "--throughput", "-1", "--producer-props", f"bootstrap.servers={shared_broker.address}", "acks=all",
    )  # fmt: skip
    assert "20000 records sent" in produced.stdout, produced.stdout + produced.stderr
    consumed = java_tool(
        "org.apache.kafka.tools.ConsumerPerformance", "--bootstrap-server", shared_broker.address, "--topic", topic,
        "--messages", "20000", "--timeout", "20000",
    )  # fmt: skip
    assert ", 20000, " in consumed.stdout, consumed.stdout + consumed.stderr


def test_a_member_of_the_consumer_protocol(shared_broker: BrokerProcess, topic: str) -> None:
    producer = Producer({"bootstrap.servers": shared_broker.address})
    for name in (topic, f"{topic}-x"):
        producer.produce(name, b"first")
    assert producer.flush(20) == 0
    source = Path(__file__).parent / "java" / "ReadByPattern.java"
    command = ["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{jars()}/*", str(source)]
    read = subprocess.run(
        [*command, shared_broker.address, topic, f"{topic}.*", "2"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert sorted(read.stdout.split("\n")) == ["", "done", f"{topic} first", f"{topic}-x first"], read.stderr[-3000:]
    reader = Consumer({"bootstrap.servers": shared_broker.address, "group.id": topic, "group.protocol": "consumer"})
    assert [p.offset for p in reader.committed([Tp(topic, 0), Tp(f"{topic}-x", 0)], 20)] == [1, 1]
    reader.subscribe([topic])
    while not reader.assignment():
        reader.poll(0.2)
    described = java_tool(
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server", shared_broker.address,
        "--describe", "--group", topic, "--state", "--verbose",
    )  # fmt: skip
    assert " uniform " in described.stdout and " Stable " in described.stdout, described.stdout + described.stderr
    reader.close()
