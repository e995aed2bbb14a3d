"""kill -9 at random times under four idempotent producers and two groups: no acknowledged record lost or repeated."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # re-exported without __all__

from streamguard_broker.storage.batch import compute_crc, read_header
from tests.support.broker import BrokerProcess
from tests.support.processes import eventually

TOPIC = "crashed"
PARTITIONS = 3
PRODUCERS = 4


class Writer(threading.Thread):
    """Numbers 0, 1, 2 ... into one partition after the other; remembers which were acknowledged."""

    def __init__(self, address: str, name: str, stop: threading.Event) -> None:
        super().__init__()
        self.writer = name
        self.acknowledged: dict[int, list[int]] = defaultdict(list)
        self.failed: list[str] = []
        self._stop_asked = stop
        self._producer = Producer(
            {
                "bootstrap.servers": address,
                "enable.idempotence": True,
                "linger.ms": 2,
                "message.timeout.ms": 600_000,
                "retry.backoff.max.ms": 100,
                "reconnect.backoff.max.ms": 200,
                "log_level": 0,
            }
        )

    @property
    def backlog(self) -> int:
        """Records neither acknowledged nor failed."""
        return len(self._producer)

    def run(self) -> None:
        number = 0
        while not self._stop_asked.is_set():
            partition = number % PARTITIONS

            def delivered(error: object, _: object, number: int = number, partition: int = partition) -> None:
                if error is None:
                    self.acknowledged[partition].append(number)
                else:
                    self.failed.append(str(error))

            if len(self._producer) > 20_000:
                self._producer.poll(0.01)
                continue
            self._producer.produce(TOPIC, f"{self.writer}:{number}", partition=partition, on_delivery=delivered)
            self._producer.poll(0)
            number += 1
            time.sleep(0.0005)
        assert self._producer.flush(60) == 0


class Reader(threading.Thread):
    """One member of a group: reads, commits, remembers the highest offset whose commit was confirmed."""

    def __init__(self, address: str, group: str, stop: threading.Event) -> None:
        super().__init__()
        self.confirmed: dict[int, int] = defaultdict(int)
        self.went_back: list[str] = []
        self._stop_asked = stop
        self._consumer = Consumer(
            {
                "bootstrap.servers": address,
                "group.id": group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "reconnect.backoff.max.ms": 200,
                "log_level": 0,
            }
        )

    def run(self) -> None:
        self._consumer.subscribe([TOPIC])
        while not self._stop_asked.is_set():
            messages = [m for m in self._consumer.consume(500, 0.1) if m.error() is None]
            if not messages:
                continue
            offsets = {m.partition() or 0: (m.offset() or 0) + 1 for m in messages}
            try:
                done = self._consumer.commit(
                    offsets=[TopicPartition(TOPIC, p, o) for p, o in offsets.items()],
                    asynchronous=False,
                )
            except KafkaException:
                continue
            for entry in done:
                if entry.error is None:
                    self.confirmed[entry.partition] = max(self.confirmed[entry.partition], entry.offset)
        self._consumer.close()


def committed(address: str, group: str) -> dict[int, int]:
    consumer = Consumer({"bootstrap.servers": address, "group.id": group, "log_level": 0})
    found = consumer.committed([TopicPartition(TOPIC, p) for p in range(PARTITIONS)], 20)
    consumer.close()
    return {entry.partition: entry.offset for entry in found}


def read_partition(address: str, partition: int) -> list[str]:
    consumer = Consumer(
        {"bootstrap.servers": address, "group.id": "check", "enable.partition.eof": True, "log_level": 0}
    )
    consumer.assign([TopicPartition(TOPIC, partition, 0)])
    values: list[str] = []
    deadline = time.monotonic() + 60
    while True:
        assert time.monotonic() < deadline, f"{len(values)} records of partition {partition} and no end in 60 s"
        for message in consumer.consume(10_000, 0.1):
            error = message.error()
            if error is None:
                values.append((message.value() or b"").decode())
            elif error.code() == confluent_kafka.KafkaError._PARTITION_EOF:
                consumer.close()
                return values


def check_crcs(data_dir: Path) -> int:
    """Every batch on disk; returns how many."""
    count = 0
    for path in (data_dir / "logs").glob("*/*.log"):
        data = path.read_bytes()
        position = 0
        while position < len(data):
            header = read_header(data, position)
            assert compute_crc(data[position : position + header.size], header) == header.crc, path
            position += header.size
            count += 1
    return count


def wait_for_backlog(writers: list[Writer]) -> None:
    """Wait until every producer has sent its backlog: one that never reaches the broker proves nothing."""
    deadline = time.monotonic() + 60
    while any(writer.backlog > 1000 for writer in writers):
        assert time.monotonic() < deadline, [writer.backlog for writer in writers]
        time.sleep(0.05)


def rounds(broker: BrokerProcess, count: int, seed: int) -> None:
    rng = random.Random(seed)
    admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1, config={"segment.bytes": "200000"})])[TOPIC].result(10)
    stop_writing, stop_reading = threading.Event(), threading.Event()
    writers = [Writer(broker.address, f"w{i}", stop_writing) for i in range(PRODUCERS)]
    readers = {group: Reader(broker.address, group, stop_reading) for group in ("g0", "g1")}
    for thread in (*writers, *readers.values()):
        thread.start()
    try:
        for number in range(count):
            time.sleep(rng.uniform(0.05, 0.8))
            broker.kill()
            broker.start()
            if number % 10 == 9:
                wait_for_backlog(writers)
        time.sleep(0.5)
        stop_writing.set()
        for writer in writers:
            writer.join()
        eventually(lambda: all(any(reader.confirmed.values()) for reader in readers.values()), bool, 60)
    finally:
        stop_writing.set()
        stop_reading.set()
    for reader in readers.values():
        reader.join()
    broker.kill()
    broker.start()
    for partition in range(PARTITIONS):
        values = read_partition(broker.address, partition)
        for writer in writers:
            assert not writer.failed
            mine = [int(value.partition(":")[2]) for value in values if value.startswith(f"{writer.writer}:")]
            assert mine == writer.acknowledged[partition], "each acknowledged record once and in order"
    for group, reader in readers.items():
        now = committed(broker.address, group)
        assert all(now[p] >= offset for p, offset in reader.confirmed.items()), (group, now, reader.confirmed)
    assert check_crcs(broker.data_dir) > 0


def test_a_few_kills(broker: BrokerProcess) -> None:
    rounds(broker, 6, seed=1)


@pytest.mark.soak
def test_two_hundred_kills(broker: BrokerProcess) -> None:
    rounds(broker, 200, seed=2)
