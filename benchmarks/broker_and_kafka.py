"""This broker beside Apache Kafka, in turn on the same machine: `python -m benchmarks.broker_and_kafka --help`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.kafka_node import KafkaProcess, kafka_possible
from streamguard.bench.broker.measure import ROWS, Result, measure, measure_ours
from streamguard.bench.broker.node import resident_mb


def measure_kafka(records: int, python_records: int, latency_seconds: float) -> Result:
    """Apache Kafka, in a temporary folder; formatting its storage does not count as its start."""
    with tempfile.TemporaryDirectory(prefix="streamguard-bench-") as folder, KafkaProcess(Path(folder)) as node:
        figures = measure(node.address, records, python_records, latency_seconds)
        return Result(figures, node.start_seconds, resident_mb(node.pid))


def main(arguments: list[str] | None = None) -> int:
    """Print both and their ratio; 1 without java or mvn."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.broker_and_kafka", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000, help="of 300 bytes, for librdkafka")
    parser.add_argument("--python-records", type=int, default=100_000, help="for kafka-python")
    parser.add_argument("--latency-seconds", type=float, default=5.0)
    given = parser.parse_args(arguments)
    if not kafka_possible():
        print("Apache Kafka needs java (17 or later) and mvn.", file=sys.stderr)
        return 1
    size = (given.records, given.python_records, given.latency_seconds)
    ours, theirs = measure_ours(*size), measure_kafka(*size)
    table = Table("", "streamguard", "Apache Kafka", "ratio", box=None)
    for label, value in ROWS:
        a, b = value(ours), value(theirs)
        table.add_row(label, f"{a:,.2f}", f"{b:,.2f}", f"{a / b:.2f}")
    Console(width=110).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
