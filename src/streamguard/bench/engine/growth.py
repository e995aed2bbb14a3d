"""A restart of the engine that has many open windows: how long until it counts again, after a kill -9."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import orjson
from confluent_kafka import Producer

from streamguard.bench.broker.node import OurBroker, resident_mb
from streamguard.bench.engine.measure import FIRST_EVENT_MS, TOPIC, groups_of_readers, wait_until_read
from streamguard.bench.engine.processes import EngineProcess
from streamguard.sqldeploy import deploy
from streamguard.sqldeploy.state import Server
from streamguard_ksql.runtime.clients import KafkaTopics

PARTITIONS = 3
_WINDOW_MS = 60_000
_SPREAD_MS = 50_000
"""The payments are spread over so much of one window."""


@dataclass(frozen=True)
class Restart:
    """Seconds until the open windows were counted, from the kill until the server answers, and until a new payment is
    counted and committed; MB of memory before the kill and after that."""

    open_windows: int
    filled_s: float
    answers_s: float
    counts_s: float
    memory_mb: tuple[float, float]


def payment(number: int, event_time: int) -> tuple[bytes, bytes]:
    """Key and value of the only payment of an account."""
    account = f"ACC{number:09d}"
    value = {"transaction_id": f"tx-{number:09d}", "amount": 12.34, "currency": "BRL", "event_time": event_time}
    return account.encode(), orjson.dumps(value)


def measure_restart(rules: Path, open_windows: int) -> Restart:
    """Count a payment of each of so many accounts within one minute, kill the engine, and start it again, on a new broker."""
    with tempfile.TemporaryDirectory(prefix="streamguard-bench-") as name, OurBroker(Path(name) / "broker") as node:
        folder, servers = Path(name) / "ksqldb", node.address
        KafkaTopics(servers).create(TOPIC, PARTITIONS, {})
        _send(servers, range(open_windows), open_windows)
        with EngineProcess(folder, servers) as engine:
            started = time.perf_counter()
            deploy(Server(engine.url), [rules])
            groups = groups_of_readers(servers)
            wait_until_read(servers, groups, open_windows)
            filled = time.perf_counter() - started
            before = resident_mb(engine.pid)
            engine.kill()
        _send(servers, range(open_windows, open_windows + 1), open_windows)
        killed = time.perf_counter()
        with EngineProcess(folder, servers) as engine:
            answers = time.perf_counter() - killed
            wait_until_read(servers, groups, open_windows + 1)
            counts = time.perf_counter() - killed
            return Restart(open_windows, filled, answers, counts, (before, resident_mb(engine.pid)))


def _send(servers: str, numbers: range, of: int) -> None:
    """Send the payments with these numbers, of so many that are spread over the window."""
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 20, "partitioner": "murmur2_random"})
    window_ms = FIRST_EVENT_MS // _WINDOW_MS * _WINDOW_MS
    for number in numbers:
        event_time = window_ms + number * _SPREAD_MS // of
        key, value = payment(number, event_time)
        while True:
            try:
                producer.produce(TOPIC, value=value, key=key, timestamp=event_time)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()
