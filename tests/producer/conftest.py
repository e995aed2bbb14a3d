"""A broker of our own for the suites that send: a real process on a free port, that can be killed and started again."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaConsumer
from kafka.structs import TopicPartition

from streamguard.config import Settings
from tests.support.postgres import free_port


class Broker:
    """`python -m streamguard.broker` on its own folder; `address` stays the same over restarts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"127.0.0.1:{free_port()}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until the port answers."""
        command = [sys.executable, "-m", "streamguard.broker", "--data-dir", str(self.folder), "--listen", self.address]
        with (self.folder.parent / "broker.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        host, port = self.address.split(":")
        deadline_s = time.monotonic() + 15
        while time.monotonic() < deadline_s:
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("the broker did not start")

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it, by default without warning."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(timeout=15)
            self.process = None

    def settings(self, **changes: object) -> Settings:
        return Settings(kafka_bootstrap_servers=self.address, **changes)  # type: ignore[arg-type]

    def read(self, topic: str = "transactions") -> list[object]:
        """Every record of a topic, partition by partition, in the order of their offsets."""
        consumer = KafkaConsumer(bootstrap_servers=self.address, enable_auto_commit=False, max_poll_records=5000)
        try:
            partitions = [TopicPartition(topic, n) for n in sorted(consumer.partitions_for_topic(topic) or ())]
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            ends = consumer.end_offsets(partitions)
            records: list[object] = []
            while any(consumer.position(partition) < ends[partition] for partition in partitions):
                for batch in consumer.poll(timeout_ms=500).values():
                    records.extend(batch)
            return sorted(records, key=lambda record: (record.partition, record.offset))  # type: ignore[attr-defined]
        finally:
            consumer.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker with nothing in it."""
    process = Broker(tmp_path / "broker")
    process.start()
    yield process
    process.kill(signal.SIGTERM)
