"""Lags count what a reader of committed records has before it; markers of transactions are no records."""

from __future__ import annotations

from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from streamguard.kafka.lags import Lag, has_record, lags
from tests.support.broker import BrokerProcess


def test_a_marker_at_the_end_is_no_record(broker: BrokerProcess, topic: str) -> None:
    partition = TopicPartition(topic, 0)
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
    producer = KafkaProducer(bootstrap_servers=broker.address, transactional_id=f"tx-{topic}")
    try:
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(topic, b"one")
        producer.commit_transaction()
        [lag] = lags(admin, {partition: 1})
        assert (lag.end, lag.records) == (2, 1)
        assert not has_record(broker.address, lag, 30)
        assert has_record(broker.address, Lag(partition, 0, lag.end), 30)
        producer.begin_transaction()
        producer.send(topic, b"two").get(timeout=30)
        assert lags(admin, {partition: 2}) == [Lag(partition, 2, 2)], "an open transaction is not committed"
        producer.abort_transaction()
        [aborted] = lags(admin, {partition: 2})
        assert aborted.records == 2
        assert not has_record(broker.address, aborted, 30)
    finally:
        producer.close(timeout=20)
        admin.close()


def test_a_partition_that_is_not_read_in_time_counts_as_waiting(broker: BrokerProcess, topic: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
    admin.close()
    # The broker has nothing there, so that nothing comes.
    assert has_record(broker.address, Lag(TopicPartition(topic, 0), 0, 1), 0.5)
