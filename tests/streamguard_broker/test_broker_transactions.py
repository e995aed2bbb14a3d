"""Transactions as clients see them: all or nothing, over partitions and group offsets, over crashes and fencing."""

from __future__ import annotations

import time

import confluent_kafka
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from tests.support.broker import BrokerProcess


def transactional(broker: BrokerProcess, name: str, timeout_ms: int = 10_000) -> Producer:
    producer = Producer(
        {
            "bootstrap.servers": broker.address,
            "transactional.id": name,
            "transaction.timeout.ms": timeout_ms,
            "log_level": 0,
        }
    )
    producer.init_transactions(20)
    return producer


def read(broker: BrokerProcess, topic: str, isolation: str = "read_committed", partitions: int = 1) -> list[bytes]:
    """All values up to the end that this isolation level sees."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.address,
            "group.id": "reader",
            "isolation.level": isolation,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
    values: list[bytes] = []
    ended = 0
    while ended < partitions:
        message = consumer.poll(10)
        assert message is not None, "the end of the partition was not reached"
        error = message.error()
        if error is not None:
            assert error.code() == KafkaError._PARTITION_EOF
            ended += 1
        else:
            values.append(message.value() or b"")
    consumer.close()
    return values


def create(broker: BrokerProcess, topic: str, partitions: int = 1) -> None:
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    admin.create_topics([NewTopic(topic, partitions, 1)])
    admin.close()


def test_committed_is_seen_and_aborted_is_not(shared_broker: BrokerProcess, topic: str) -> None:
    create(shared_broker, topic, 2)
    producer = transactional(shared_broker, topic)
    for commit in (True, False, True):
        producer.begin_transaction()
        for partition in (0, 1):
            producer.produce(topic, b"%d" % commit, partition=partition)
        producer.flush()
        if commit:
            producer.commit_transaction(10)
        else:
            producer.abort_transaction(10)
    assert read(shared_broker, topic, partitions=2) == [b"1"] * 4
    assert sorted(read(shared_broker, topic, "read_uncommitted", 2)) == [b"0"] * 2 + [b"1"] * 4


def test_an_open_transaction_hides_what_follows_it(shared_broker: BrokerProcess, topic: str) -> None:
    create(shared_broker, topic)
    producer = transactional(shared_broker, topic)
    plain = Producer({"bootstrap.servers": shared_broker.address})
    plain.produce(topic, b"before")
    plain.flush()
    producer.begin_transaction()
    producer.produce(topic, b"inside")
    producer.flush()
    plain.produce(topic, b"behind")
    plain.flush()
    assert read(shared_broker, topic) == [b"before"]
    producer.commit_transaction(10)
    assert read(shared_broker, topic) == [b"before", b"inside", b"behind"]


def test_group_offsets_count_with_the_commit_only(shared_broker: BrokerProcess, topic: str) -> None:
    create(shared_broker, topic)
    plain = Producer({"bootstrap.servers": shared_broker.address})
    for i in range(10):
        plain.produce(topic, b"%d" % i)
    plain.flush()
    consumer = Consumer(
        {
            "bootstrap.servers": shared_broker.address,
            "group.id": topic,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([topic])
    seen = 0
    while seen < 10:
        seen += len(consumer.consume(10, 0.5))
    partition = TopicPartition(topic, 0)
    producer = transactional(shared_broker, topic)
    for commit, expected in ((False, confluent_kafka.OFFSET_INVALID), (True, 10)):
        producer.begin_transaction()
        producer.produce(f"{topic}-out", b"x")
        producer.send_offsets_to_transaction(consumer.position([partition]), consumer.consumer_group_metadata(), 10)
        if commit:
            producer.commit_transaction(10)
        else:
            producer.abort_transaction(10)
        assert consumer.committed([partition], 10)[0].offset == expected
    consumer.close()


def test_a_second_producer_fences_the_first(shared_broker: BrokerProcess, topic: str) -> None:
    create(shared_broker, topic)
    first = transactional(shared_broker, topic)
    first.begin_transaction()
    first.produce(topic, b"first")
    first.flush()
    second = transactional(shared_broker, topic)
    with pytest.raises(KafkaException) as fenced:
        first.commit_transaction(10)
    assert fenced.value.args[0].fatal()
    second.begin_transaction()
    second.produce(topic, b"second")
    second.commit_transaction(10)
    assert read(shared_broker, topic) == [b"second"]


def test_a_transaction_left_open_times_out(shared_broker: BrokerProcess, topic: str) -> None:
    create(shared_broker, topic)
    producer = transactional(shared_broker, topic, timeout_ms=1000)
    producer.begin_transaction()
    producer.produce(topic, b"left")
    producer.flush()
    plain = Producer({"bootstrap.servers": shared_broker.address})
    plain.produce(topic, b"behind")
    plain.flush()
    deadline = time.monotonic() + 10
    while read(shared_broker, topic) != [b"behind"]:
        assert time.monotonic() < deadline
    del producer


def test_kafka_python_transactions(shared_broker: BrokerProcess, topic: str) -> None:
    create(shared_broker, topic)
    producer = KafkaProducer(bootstrap_servers=shared_broker.address, transactional_id=topic)
    producer.init_transactions()
    for commit in (False, True, True):
        producer.begin_transaction()
        producer.send(topic, b"%d" % commit).get(10)
        if commit:
            producer.commit_transaction()
        else:
            producer.abort_transaction()
    producer.close()
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=shared_broker.address,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        consumer_timeout_ms=1000,
    )
    assert [message.value for message in consumer] == [b"1", b"1"]
    consumer.close()


def test_state_survives_a_kill(broker: BrokerProcess, topic: str) -> None:
    """An open transaction can still be committed, an aborted one stays hidden, after kill -9."""
    create(broker, topic)
    producer = transactional(broker, topic, timeout_ms=60_000)
    producer.begin_transaction()
    producer.produce(topic, b"aborted")
    producer.flush()
    producer.abort_transaction(10)
    producer.begin_transaction()
    producer.produce(topic, b"one")
    producer.flush()
    broker.kill()
    broker.start()
    assert read(broker, topic) == []
    producer.produce(topic, b"two")
    producer.commit_transaction(20)
    assert read(broker, topic) == [b"one", b"two"]
    broker.kill()
    broker.start()
    assert read(broker, topic) == [b"one", b"two"]
