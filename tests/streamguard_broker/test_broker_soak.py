"""Mixed load on 64 topics of 3 partitions over 200 connections: memory and open files do not grow.

Ten minutes with --soak; STREAMGUARD_TEST_SOAK_SECONDS makes it shorter, to see that it works, or longer.
"""

from __future__ import annotations

import os
import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # re-exported without __all__

from tests.support.broker import BrokerProcess

TOPICS = [f"soak-{i}" for i in range(64)]
WRITERS, READERS = 40, 85
SETTINGS = {"segment.bytes": "1000000", "retention.bytes": "1000000", "retention.ms": "30000"}


SOAK_SECONDS = float(os.environ.get("STREAMGUARD_TEST_SOAK_SECONDS", "600"))


@dataclass(frozen=True)
class Sample:
    """The broker at one time. `open_files` does not count connections."""

    memory_mb: float
    open_files: int
    connections: int


def sample(broker: BrokerProcess) -> Sample:
    assert broker.process is not None
    folder = Path(f"/proc/{broker.process.pid}/fd")
    found = psutil.Process(broker.process.pid).net_connections("tcp")
    connections = sum(connection.status == psutil.CONN_ESTABLISHED for connection in found)
    return Sample(broker.resident_mb(), len(list(folder.iterdir())) - connections, connections)


def write(address: str, stop: threading.Event, seed: int, failures: list[str]) -> None:
    """Producers of two kinds: plain ones, and transactional ones that abort every third time."""
    rng = random.Random(seed)
    settings: dict[str, object] = {"bootstrap.servers": address, "log_level": 0, "linger.ms": 5}
    transactional = seed % 3 == 0
    if transactional:
        settings["transactional.id"] = f"soak-{seed}"
    producer = Producer(settings)
    try:
        if transactional:
            producer.init_transactions(30)
        while not stop.is_set():
            if transactional:
                producer.begin_transaction()
            for _ in range(20):
                producer.produce(
                    rng.choice(TOPICS), rng.randbytes(rng.randint(10, 2000)), key=b"%d" % rng.randrange(100)
                )
            producer.flush(30)
            if transactional:
                _end_transaction(producer, aborts=rng.random() < 0.3)
            time.sleep(0.05)
    except KafkaException as error:
        failures.append(f"writer {seed}: {error}")


def _end_transaction(producer: Producer, *, aborts: bool) -> None:
    """Commit or abort, as an application has to: retriable errors are retried, others abort."""
    while True:
        try:
            producer.abort_transaction(30) if aborts else producer.commit_transaction(30)
            return
        except KafkaException as error:
            found = error.args[0]
            if found.txn_requires_abort():
                aborts = True
            elif not found.retriable():
                raise


def read(address: str, stop: threading.Event, seed: int, failures: list[str]) -> None:
    """Members of ten groups, which leave and rejoin."""
    rng = random.Random(seed)
    while not stop.is_set():
        consumer = Consumer(
            {
                "bootstrap.servers": address, "group.id": f"soak-{seed % 10}", "auto.offset.reset": "earliest",
                "isolation.level": "read_committed", "log_level": 0, "fetch.wait.max.ms": 200,
            }
        )  # fmt: skip
        consumer.subscribe(rng.sample(TOPICS, 8))
        until = time.monotonic() + rng.uniform(5, 30)
        while time.monotonic() < until and not stop.is_set():
            for message in consumer.consume(500, 0.2):
                error = message.error()
                if error is not None and error.fatal():
                    failures.append(f"reader {seed}: {error}")
        consumer.close()


def load(broker: BrokerProcess, seconds: float, writers: int, readers: int) -> list[Sample]:
    """Run the load; a sample of each second in the last half."""
    admin = AdminClient({"bootstrap.servers": broker.address})
    for future in admin.create_topics([NewTopic(name, 3, 1, config=SETTINGS) for name in TOPICS]).values():
        future.result(30)
    stop = threading.Event()
    failures: list[str] = []
    threads = [
        threading.Thread(target=target, args=(broker.address, stop, seed, failures))
        for target, count in ((write, writers), (read, readers))
        for seed in range(count)
    ]
    for thread in threads:
        thread.start()
    samples = []
    started = time.monotonic()
    try:
        while time.monotonic() - started < seconds:
            time.sleep(1)
            if time.monotonic() - started > seconds / 2:
                samples.append(sample(broker))
    finally:
        stop.set()
    for thread in threads:
        thread.join()
    assert not failures, failures[:5]
    assert "ERROR" not in broker.log(), broker.log()[-2000:]
    return samples


def steady(values: list[float]) -> bool:
    """The last quarter is not above the first by more than a tenth and a little."""
    quarter = max(1, len(values) // 4)
    first, last = sorted(values[:quarter])[quarter // 2], sorted(values[-quarter:])[quarter // 2]
    return last <= first * 1.1 + 8


def start(tmp_path: Path) -> BrokerProcess:
    return BrokerProcess(tmp_path / "broker", arguments=("--auto-create-topics", "--topic-default", "segment.ms=5000"))


def test_a_short_mixed_load(tmp_path: Path) -> None:
    with start(tmp_path) as broker:
        samples = load(broker, 5, writers=4, readers=4)
        assert max(sample.memory_mb for sample in samples) < 120


@pytest.mark.soak
def test_ten_minutes_of_mixed_load(tmp_path: Path) -> None:
    with start(tmp_path) as broker:
        samples = load(broker, SOAK_SECONDS, writers=WRITERS, readers=READERS)
        course = samples[:: max(1, len(samples) // 20)]
        print(*course, sep="\n")
        assert steady([sample.memory_mb for sample in samples]), course
        assert steady([float(sample.open_files) for sample in samples]), course
        assert max(sample.memory_mb for sample in samples) < 160, course
        assert max(sample.connections for sample in samples) >= 200, course
