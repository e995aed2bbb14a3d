"""The command: measure ours, measure Kafka if it can be had, print both and the ratio."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from streamguard.bench.broker.kafka_node import KafkaProcess, kafka_possible
from streamguard.bench.broker.measure import Figures, measure
from streamguard.bench.broker.node import OurBroker, resident_mb


@dataclass(frozen=True)
class Result:
    """One broker's figures; start to ready in seconds."""

    figures: Figures
    start_seconds: float
    memory_mb: float


_ROWS: tuple[tuple[str, Callable[[Result], float]], ...] = (
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
    """Our broker, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="streamguard-bench-") as folder:
        started = time.perf_counter()
        with OurBroker(Path(folder) / "log") as node:
            ready = time.perf_counter() - started
            figures = measure(node.address, records, python_records, latency_seconds)
            return Result(figures, ready, resident_mb(node.pid))


def measure_kafka(records: int, python_records: int, latency_seconds: float) -> Result:
    """Apache Kafka, in a temporary folder; formatting its storage is not counted as its start."""
    with tempfile.TemporaryDirectory(prefix="streamguard-bench-") as folder, KafkaProcess(Path(folder)) as node:
        figures = measure(node.address, records, python_records, latency_seconds)
        return Result(figures, node.start_seconds, resident_mb(node.pid))


def broker(
    records: Annotated[int, typer.Option(min=1000, help="Of 300 bytes, for librdkafka.")] = 1_000_000,
    python_records: Annotated[int, typer.Option(min=1000, help="For kafka-python.")] = 100_000,
    latency_seconds: Annotated[float, typer.Option(min=0.1)] = 5.0,
    kafka: Annotated[bool, typer.Option(help="Measure Apache Kafka too, if java and mvn are there.")] = True,
) -> None:
    """Throughput, latency, start and memory of our broker, beside Apache Kafka."""
    ours = measure_ours(records, python_records, latency_seconds)
    theirs = measure_kafka(records, python_records, latency_seconds) if kafka and kafka_possible() else None
    table = Table("", "ours", "Apache Kafka", "ratio", box=None)
    for text, value in _ROWS:
        mine = value(ours)
        if theirs is None:
            table.add_row(text, f"{mine:,.2f}", "-", "-")
        else:
            other = value(theirs)
            table.add_row(text, f"{mine:,.2f}", f"{other:,.2f}", f"{mine / other:.2f}")
    Console(width=110).print(table)
