"""kill -9 and restart: acknowledged records are there once and in order; offsets, groups and topics are kept."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from tests.support.broker import BrokerProcess

READ_SECONDS = 30.0


def poll_until(consumer: KafkaConsumer, done: Callable[[list[bytes]], bool]) -> list[bytes]:
    """Poll until `done`; returns the values. Fails after READ_SECONDS.

    Polls are long: kafka-python 3.0 loses an assignment that arrives just as the timeout of a poll is over.
    """
    values: list[bytes] = []
    deadline = time.monotonic() + READ_SECONDS
    while not done(values):
        assert time.monotonic() < deadline, f"{len(values)} records in {READ_SECONDS:.0f} s"
        values += [record.value for records in consumer.poll(5000).values() for record in records]
    return values


def read_all(address: str, topic: str, partition: int = 0) -> list[bytes]:
    """Every value in a partition, in order."""
    consumer = KafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest", enable_auto_commit=False)
    tp = TopicPartition(topic, partition)
    consumer.assign([tp])
    end = consumer.end_offsets([tp])[tp]
    values = poll_until(consumer, lambda _: consumer.position(tp) >= end)
    consumer.close()
    return values


def test_kafka_python_continues_after_a_kill(broker: BrokerProcess, topic: str) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.address, acks="all", enable_idempotence=True, linger_ms=0)
    for i in range(100):
        producer.send(topic, b"%d" % i)
    producer.flush()
    broker.kill()
    broker.start()
    for i in range(100, 200):
        producer.send(topic, b"%d" % i)
    producer.flush()
    producer.close()
    assert read_all(broker.address, topic) == [b"%d" % i for i in range(200)]


def test_committed_offsets_and_the_generation_are_kept(broker: BrokerProcess, topic: str) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.address, acks="all")
    for i in range(10):
        producer.send(topic, b"%d" % i)
    producer.flush()
    consumer = KafkaConsumer(
        topic, bootstrap_servers=broker.address, group_id="kept", auto_offset_reset="earliest", enable_auto_commit=False
    )
    poll_until(consumer, lambda values: len(values) >= 10)
    consumer.commit()
    broker.kill()
    broker.start()
    producer.send(topic, b"after").get(20)
    assert poll_until(consumer, bool) == [b"after"]
    consumer.commit()
    after_restart = broker.log().rpartition("listening")[2]
    assert "generation" not in after_restart, "the member stays in its generation"
    consumer.close()
    producer.close()


def test_topics_and_their_settings_are_kept(broker: BrokerProcess, topic: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    admin.create_topics([NewTopic(topic, 3, 1, topic_configs={"retention.ms": "12345"})])
    before = admin.describe_topics([topic])[0]
    admin.close()
    broker.kill()
    broker.start()
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    after = admin.describe_topics([topic])[0]
    assert before["topic_id"] == after["topic_id"]
    assert len(after["partitions"]) == 3
    admin.close()


def test_a_clean_stop_leaves_nothing_to_recover(broker: BrokerProcess, topic: str) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.address, acks="all")
    producer.send(topic, b"x").get(10)
    producer.close()
    assert broker.stop() == 0
    assert "shut down" in broker.log()
    broker.start()
    assert "truncated" not in broker.log()
    assert read_all(broker.address, topic) == [b"x"]


def test_a_torn_tail_is_truncated_and_logged(broker: BrokerProcess, topic: str) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.address, acks="all")
    producer.send(topic, b"whole").get(10)
    producer.close()
    broker.kill()
    segment = broker.data_dir / "logs" / f"{topic}-0" / f"{0:020d}.log"
    with segment.open("ab") as file:
        file.write(b"\x00" * 7 + b"\x01 torn")
    broker.start()
    assert f"recovered {topic}-0: truncated 13 bytes after offset 1" in broker.log()
    assert read_all(broker.address, topic) == [b"whole"]


def start_fails(*arguments: str) -> str:
    """Start a broker that must fail to start; returns its last line on stderr."""
    ended = subprocess.run(
        [sys.executable, "-m", "streamguard_broker", *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    return ended.stderr.strip().splitlines()[-1]


def test_a_second_broker_on_the_folder_does_not_start(broker: BrokerProcess) -> None:
    message = start_fails("--data-dir", str(broker.data_dir), "--listen", "127.0.0.1:0")
    assert message.endswith(f"Another broker runs on {broker.data_dir}; stop it or choose another --data-dir.")


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = start_fails("--data-dir", str(tmp_path / "broker"), "--listen", f"127.0.0.1:{port}")
    assert f"Port {port} on 127.0.0.1 is in use" in message


def test_a_bad_address_is_named(tmp_path: Path) -> None:
    message = start_fails("--data-dir", str(tmp_path / "broker"), "--listen", "nonsense")
    assert "'nonsense' is not of the form HOST:PORT" in message
