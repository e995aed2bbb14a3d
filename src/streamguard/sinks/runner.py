"""Reads the topics and hands their records to a sink, from the offsets that the sink has, until told to stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CorruptRecordError, KafkaError

from streamguard.config import Settings
from streamguard.kafka import clients
from streamguard.kafka.corrupt import skip_corrupt
from streamguard.kafka.topics import ensure_topics
from streamguard.metrics.sink import SinkMetrics
from streamguard.sinks.base import Sink, SinkRecord

log = logging.getLogger("streamguard.sinks")

POLL_MS = 200
RETRY_S = 2.0


def topics_of(settings: Settings) -> list[str]:
    """What a sink gets: transactions, alerts and decisions."""
    return [settings.transactions_topic, settings.alerts_topic, settings.decisions_topic]


def run(
    settings: Settings,
    sink: Sink,
    topics: Sequence[str],
    stop: threading.Event,
    *,
    to_end: bool = False,
    metrics: SinkMetrics | None = None,
) -> int:
    """Write records until `stop` is set, or with `to_end` up to where the topics end now; returns how many.

    Counts them in `metrics`. Retries while Kafka is unavailable. Raises SinkError.
    """
    written, counted = 0, metrics or SinkMetrics("")
    while not stop.is_set():
        try:
            return written + _read(settings, sink, topics, stop, to_end, counted)
        except KafkaError as error:
            log.warning("Kafka at %s: %s; retrying in %.0f s", settings.kafka_bootstrap_servers, error, RETRY_S)
            counted.outage()
            stop.wait(RETRY_S)
    return written


def _read(
    settings: Settings, sink: Sink, topics: Sequence[str], stop: threading.Event, to_end: bool, metrics: SinkMetrics
) -> int:
    ensure_topics(settings)
    consumer = clients.consumer(
        settings.kafka,
        client_id="streamguard-sink",
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_poll_records=settings.batch_max_records,
        bootstrap_timeout_ms=5_000,
    )
    written = 0
    try:
        partitions = [
            TopicPartition(topic, number)
            for topic in topics
            for number in sorted(consumer.partitions_for_topic(topic) or ())
        ]
        consumer.assign(partitions)
        _seek(consumer, sink, partitions)
        ends = consumer.end_offsets(partitions)
        metrics.connected()
        while not stop.is_set():
            if to_end and all(consumer.position(partition) >= end for partition, end in ends.items()):
                break
            try:
                polled = consumer.poll(timeout_ms=POLL_MS)
            except CorruptRecordError as error:
                skip_corrupt(settings.kafka, consumer, error)
                continue
            records = [
                SinkRecord(r.topic, r.partition, r.offset, r.key, r.value, r.timestamp)
                for found in polled.values()
                for r in found
            ]
            if records:
                sink.write(records)
                written += len(records)
                metrics.written([(r.topic, len(r.key or b"") + len(r.value or b"")) for r in records], time.time())
        return written
    finally:
        consumer.close(autocommit=False)


def _seek(consumer: KafkaConsumer, sink: Sink, partitions: Sequence[TopicPartition]) -> None:
    """Continue where the sink is; report what retention deleted meanwhile."""
    first = consumer.beginning_offsets(partitions)
    offsets = {topic: sink.next_offsets(topic) for topic in {partition.topic for partition in partitions}}
    for partition in partitions:
        offset = offsets[partition.topic].get(partition.partition, 0)
        if 0 < offset < first[partition]:
            log.error(
                "%s/%d begins at %d now: offsets from %d on were deleted before they were read",
                *partition,
                first[partition],
                offset,
            )
        consumer.seek(partition, max(offset, first[partition]))
