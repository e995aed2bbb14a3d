"""Reading a topic to its end: from given offsets, what is committed, and an error where it does not come to its end."""

from __future__ import annotations

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from streamguard.config import load_settings
from streamguard.kafka.topic_reader import TopicNotRead, TopicReader
from streamguard.kafka.topics import ensure_topics
from tests.support.broker import BrokerProcess


@pytest.fixture
def filled(broker: BrokerProcess) -> BrokerProcess:
    """Ten records in each of two partitions of `decisions`, then two of a transaction that is aborted."""
    ensure_topics(load_settings(kafka_bootstrap_servers=broker.address))
    producer = KafkaProducer(bootstrap_servers=broker.address)
    for number in range(20):
        producer.send("decisions", value=b"%d" % number, partition=number % 2)
    producer.close()
    aborting = KafkaProducer(bootstrap_servers=broker.address, transactional_id="aborting")
    aborting.init_transactions()
    aborting.begin_transaction()
    for number in range(2):
        aborting.send("decisions", value=b"aborted", partition=number).get(timeout=20)
    aborting.abort_transaction()
    aborting.close()
    return broker


def test_all_of_a_topic(filled: BrokerProcess) -> None:
    reader = TopicReader(filled.address, "decisions")
    assert sorted(int(record.value) for record in reader) == list(range(20))
    assert reader.ends == {0: 12, 1: 12, 2: 0}, "an aborted record and its marker take offsets too"


def test_from_an_offset_and_from_behind_the_end(filled: BrokerProcess) -> None:
    assert sorted(int(r.value) for r in TopicReader(filled.address, "decisions", {0: 8, 1: 12})) == [16, 18]
    anew = TopicReader(filled.address, "decisions", {0: 12, 1: 5_000})
    assert sorted(int(record.value) for record in anew) == list(range(1, 20, 2)), "a topic made anew is read whole"


def test_a_topic_that_does_not_exist_is_empty(broker: BrokerProcess) -> None:
    assert list(TopicReader(broker.address, "decisions")) == []


def test_an_end_that_does_not_come_is_an_error(filled: BrokerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamguard.kafka.topic_reader.NO_PROGRESS_S", 0.5)
    partition = TopicPartition("decisions", 0)
    consumer = KafkaConsumer(bootstrap_servers=filled.address)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    records = TopicReader(filled.address, "decisions")._records(consumer, {partition: 40})
    with pytest.raises(TopicNotRead, match="the topic decisions could not be read to its end"):
        list(records)
    consumer.close()
