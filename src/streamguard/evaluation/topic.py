"""Labelled payments of the topic `transactions`: the generator writes the truth into the header `label`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from heapq import merge

from streamguard.config import Settings
from streamguard.consumer.records import Batch, Decoder
from streamguard.evaluation.data import DataError, LabelledPayment
from streamguard.kafka.topic_reader import TopicReader
from streamguard_ksql.operators.record import InputRecord


def read_topic(settings: Settings) -> list[LabelledPayment]:
    """The payments of the topic that the consumer stores: each partition in its order, the partitions merged by time.

    Raises DataError where nothing is labelled, TopicNotRead and KafkaError where the topic cannot be read.
    """
    decoder = Decoder(settings)
    partitions: defaultdict[int, list[LabelledPayment]] = defaultdict(list)
    for record in TopicReader(settings.kafka, settings.transactions_topic):
        batch = Batch()
        decoder.add(batch, record.offset, [record])
        for _, transaction in batch.transactions:
            label = dict(record.headers).get("label") or b""
            partitions[record.partition].append(
                LabelledPayment(
                    transaction.event_time,
                    transaction.account_id,
                    transaction.merchant_id,
                    float(transaction.amount),
                    label.decode(errors="replace"),
                    record.value,
                )
            )
    payments = list(merge(*partitions.values(), key=lambda payment: payment.at_ms))
    if not any(payment.is_fraud for payment in payments):
        raise DataError(
            f"none of the {len(payments):,} payments in the topic {settings.transactions_topic} has a label: send some with"
            " `streamguard generate batch --fraud-share 0.05`"
        )
    return payments


def read_records(settings: Settings, topics: Iterable[str]) -> Iterator[InputRecord]:
    """All records of topics: each partition in its order, the partitions merged by time; topics that are not there have none.

    The time of a record is its own timestamp: that of the event, as the producer sets it. Raises TopicNotRead, KafkaError.
    """
    partitions: defaultdict[tuple[str, int], list[InputRecord]] = defaultdict(list)
    for topic in topics:
        for r in TopicReader(settings.kafka, topic):
            record = InputRecord(topic, r.partition, r.offset, r.key, r.value, r.timestamp, r.headers)
            partitions[topic, r.partition].append(record)
    return merge(*partitions.values(), key=lambda record: record.time)
