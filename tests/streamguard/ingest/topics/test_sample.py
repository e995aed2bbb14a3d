"""The sample of a topic: the first and the last records of each partition, and no more."""

from __future__ import annotations

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from streamguard.ingest.topics import UnusableTopic, read_sample
from tests.support.broker import BrokerProcess


def _make(address: str, topic: str, partitions: int) -> KafkaAdminClient:
    admin = KafkaAdminClient(bootstrap_servers=address)
    admin.create_topics([NewTopic(topic, partitions, 1)])
    return admin


def test_the_earliest_and_the_latest_of_each_partition(broker: BrokerProcess, topic: str) -> None:
    admin = _make(broker.address, topic, 3)
    producer = KafkaProducer(bootstrap_servers=broker.address, acks="all")
    for partition, count in ((0, 30), (1, 7)):
        for number in range(count):
            producer.send(topic, b"%d-%d" % (partition, number), partition=partition)
    producer.flush()
    producer.close()
    admin.delete_records({TopicPartition(topic, 0): 10})
    admin.close()
    sample = read_sample(broker.address, topic, most=24)
    values = [record.value.decode() for record in sample.records if record.value]
    kept = [f"0-{number}" for number in (10, 11, 12, 13, 26, 27, 28, 29)]
    assert values == kept + [f"1-{number}" for number in range(7)]
    assert sample.total == 27


def test_records_of_aborted_transactions_are_no_payments(broker: BrokerProcess, topic: str) -> None:
    _make(broker.address, topic, 1).close()
    producer = KafkaProducer(bootstrap_servers=broker.address, transactional_id=topic)
    producer.init_transactions()
    for value, commits in ((b"aborted", False), (b"committed", True)):
        producer.begin_transaction()
        producer.send(topic, value, key=b"k")
        producer.flush()
        if commits:
            producer.commit_transaction()
        else:
            producer.abort_transaction()
    producer.close()
    assert read_sample(broker.address, topic).records == [(b"k", b"committed")]


def test_topics_without_records_are_named(broker: BrokerProcess, topic: str) -> None:
    _make(broker.address, topic, 1).close()
    with pytest.raises(UnusableTopic, match="holds no records"):
        read_sample(broker.address, topic)
    with pytest.raises(UnusableTopic, match=f"no topic {topic}s; there is {topic}"):
        read_sample(broker.address, topic + "s")
