"""Throughput and latency of any Kafka (`measure`), and all figures of this broker in a process (`measure_ours`).

Records of 300 bytes, acks=all, three partitions.
"""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import confluent_kafka
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from streamguard.bench.broker.node import OurBroker, resident_mb

RECORD = b"x" * 300
PARTITIONS = 3
LATENCY_RATE = 1000
_STALL_SECONDS = 60.0


@dataclass(frozen=True)
class Figures:
    """Records/s; latencies in ms."""

    librdkafka_produce: float
    librdkafka_consume: float
    kafka_python_produce: float
    kafka_python_consume: float
    produce_p50_ms: float
    produce_p99_ms: float


@dataclass(frozen=True)
class Result:
    """The figures of one broker process, with the seconds from its start to the first connection, and MB at the end."""

    figures: Figures
    start_seconds: float
    memory_mb: float


#: what each line of a table shows
ROWS: tuple[tuple[str, Callable[[Result], float]], ...] = (
    ("librdkafka produce, records/s", lambda r: r.figures.librdkafka_produce),
    ("librdkafka consume, records/s", lambda r: r.figures.librdkafka_consume),
    ("kafka-python produce, records/s", lambda r: r.figures.kafka_python_produce),
    ("kafka-python consume, records/s", lambda r: r.figures.kafka_python_consume),
    ("single acks=all produce at 1,000/s, p50 ms", lambda r: r.figures.produce_p50_ms),
    ("single acks=all produce at 1,000/s, p99 ms", lambda r: r.figures.produce_p99_ms),
    ("start to ready, s", lambda r: r.start_seconds),
    ("resident memory at the end, MB", lambda r: r.memory_mb),
)


def measure_ours(records: int, python_records: int, latency_seconds: float) -> Result:
    """This broker, in a process and a temporary folder of its own."""
    with tempfile.TemporaryDirectory(prefix="streamguard-bench-") as folder:
        started = time.perf_counter()
        with OurBroker(Path(folder) / "broker") as node:
            ready = time.perf_counter() - started
            figures = measure(node.address, records, python_records, latency_seconds)
            return Result(figures, ready, resident_mb(node.pid))


def measure(address: str, records: int, python_records: int, latency_seconds: float) -> Figures:
    """All measurements against the broker at `address`."""
    topic = f"bench-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": address})
    for future in admin.create_topics(
        [NewTopic(topic, PARTITIONS, 1), NewTopic(f"{topic}-py", PARTITIONS, 1)]
    ).values():
        future.result(30)
    produced = librdkafka_produce(address, topic, records)
    consumed = librdkafka_consume(address, topic, records)
    python_produced = kafka_python_produce(address, f"{topic}-py", python_records)
    python_consumed = kafka_python_consume(address, f"{topic}-py", python_records)
    latencies = produce_latencies_ms(address, topic, latency_seconds)
    return Figures(
        produced,
        consumed,
        python_produced,
        python_consumed,
        latencies[len(latencies) // 2],
        latencies[int(len(latencies) * 0.99)],
    )


def librdkafka_produce(address: str, topic: str, records: int) -> float:
    """Records/s from the first call to the last acknowledgement."""
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": address, "acks": "all", "linger.ms": 5, "queue.buffering.max.messages": 1_000_000}
    )
    producer.list_topics(topic, 10)
    started = time.perf_counter()
    for number in range(records):
        producer.produce(topic, RECORD, partition=number % PARTITIONS)
        if number % 1000 == 0:
            producer.poll(0)
    if producer.flush(_STALL_SECONDS):
        raise RuntimeError(f"not all records are acknowledged within {_STALL_SECONDS:.0f} s")
    return records / (time.perf_counter() - started)


def librdkafka_consume(address: str, topic: str, records: int) -> float:
    """Records/s from the first record on."""
    consumer = confluent_kafka.Consumer({"bootstrap.servers": address, "group.id": topic, "enable.auto.commit": False})
    consumer.assign([confluent_kafka.TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
    count = len(consumer.consume(1, _STALL_SECONDS))
    started = time.perf_counter()
    while count < records:
        got = consumer.consume(10_000, 1.0)
        count += len(got)
        if not got and time.perf_counter() - started > _STALL_SECONDS:
            raise RuntimeError(f"not all records are received within {_STALL_SECONDS:.0f} s")
    seconds = time.perf_counter() - started
    consumer.close()
    return records / seconds


def kafka_python_produce(address: str, topic: str, records: int) -> float:
    """Records/s from the first call to the last acknowledgement."""
    producer = KafkaProducer(bootstrap_servers=address, acks="all", linger_ms=5)
    producer.partitions_for(topic)
    started = time.perf_counter()
    for number in range(records):
        producer.send(topic, RECORD, partition=number % PARTITIONS)
    producer.flush()
    seconds = time.perf_counter() - started
    producer.close()
    return records / seconds


def kafka_python_consume(address: str, topic: str, records: int) -> float:
    """Records/s from the first record on."""
    consumer = KafkaConsumer(
        bootstrap_servers=address, auto_offset_reset="earliest", max_poll_records=5000, fetch_max_wait_ms=50
    )
    consumer.assign([TopicPartition(topic, p) for p in range(PARTITIONS)])
    count = 0
    started: float | None = None
    while count < records:
        count += sum(len(batch) for batch in consumer.poll(1000).values())
        if started is None and count:
            started = time.perf_counter()
    seconds = time.perf_counter() - (started or 0.0)
    consumer.close()
    return records / seconds


def produce_latencies_ms(address: str, topic: str, seconds: float) -> list[float]:
    """Sorted latencies of single records, each sent at its time, 1,000 in a second."""
    producer = confluent_kafka.Producer({"bootstrap.servers": address, "acks": "all", "linger.ms": 0})
    latencies: list[float] = []
    producer.list_topics(topic, 10)
    begin = time.perf_counter()
    for number in range(int(seconds * LATENCY_RATE)):
        due = begin + number / LATENCY_RATE
        while (now := time.perf_counter()) < due:
            producer.poll(min(0.001, due - now))

        def acknowledged(error: object, _: object, sent: float = now) -> None:
            latencies.append((time.perf_counter() - sent) * 1000)

        producer.produce(topic, RECORD, partition=0, on_delivery=acknowledged)
    producer.flush(_STALL_SECONDS)
    return sorted(latencies)
