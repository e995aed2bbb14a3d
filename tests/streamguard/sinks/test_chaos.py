"""Sinks that are killed, whose destination is away, and that get poison: what is there equals an independent reading."""

from __future__ import annotations

import json
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from streamguard.config import load_settings
from streamguard.kafka.topics import ensure_topics
from tests.streamguard.sinks.examples import POISON, transaction
from tests.support.broker import BrokerProcess
from tests.support.processes import Program, eventually
from tests.support.sink_target import Target
from tests.support.sink_targets import KINDS
from tests.support.small_disk import small_disk

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
SHORT = ("jsonl", "lake", "mongodb")


def sink_of(target: Target, broker: BrokerProcess, folder: Path, state: Path | None = None) -> Program:
    state = state or folder / "state"
    environment = {"KAFKA_BOOTSTRAP_SERVERS": broker.address, "STREAMGUARD_STATE_DIR": str(state)}
    environment |= {"STREAMGUARD_METRICS_PORT": "off", **target.environment()}
    return Program(f"sink-{target.name}", ["streamguard.cli", "sink", target.name], environment, folder)


class Feed:
    """Sends transactions with poison among them, seeded."""

    def __init__(self, broker: BrokerProcess, seed: int) -> None:
        ensure_topics(load_settings(kafka_bootstrap_servers=broker.address))
        self._producer = KafkaProducer(bootstrap_servers=broker.address, linger_ms=5, compression_type="lz4")
        self._rng = random.Random(seed)
        self.sent = self.poison = 0

    def send(self, count: int, per_s: float = 0.0, *, noise_bytes: int = 0) -> None:
        began = time.monotonic()
        for number in range(count):
            partition = self._rng.randrange(3)
            if self._rng.random() < 0.02:
                self.poison += 1
                self._producer.send("transactions", self._rng.choice(POISON), b"A", partition=partition)
            else:
                record = transaction(self.sent, partition, note=self._rng.randbytes(noise_bytes).hex())
                self._producer.send("transactions", record.value, record.key, partition=partition)
            self.sent += 1
            if per_s and number % 50 == 0 and (ahead_s := number / per_s - (time.monotonic() - began)) > 0:
                time.sleep(ahead_s)
        self._producer.flush()

    def close(self) -> None:
        self._producer.close()


def read(broker: BrokerProcess, count: int) -> dict[tuple[str, int, int], bytes | None]:
    """The topic as a client of Kafka has it."""
    consumer = KafkaConsumer(bootstrap_servers=broker.address, auto_offset_reset="earliest", enable_auto_commit=False)
    consumer.assign([TopicPartition("transactions", number) for number in range(3)])
    found: dict[tuple[str, int, int], bytes | None] = {}
    deadline = time.monotonic() + 120
    while len(found) < count:
        assert time.monotonic() < deadline
        for records in consumer.poll(500).values():
            found |= {(r.topic, r.partition, r.offset): r.value for r in records}
    consumer.close()
    return found


def check(target: Target, wanted: dict[tuple[str, int, int], bytes | None]) -> None:
    """Each record of the topic is there, as it is, and once; nothing else is."""
    found = list(target.rows())
    times = Counter(place for place, _ in found)
    assert set(times) == set(wanted)
    assert not target.is_once or max(times.values()) == 1
    for place, content in found:
        value = wanted[place]
        if isinstance(content, str):
            assert json.loads(value or b"")["transaction_id"] == content
        elif content is None:
            # Without an id, or without a value.
            assert value is None or not json.loads(value)
        else:
            assert content == value


@pytest.fixture
def made(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Target]:
    target = KINDS[request.param](tmp_path)
    yield target
    target.close()


def places(target: Target) -> Callable[[], int]:
    """How many records are there; -1 where that cannot be said now."""

    def count() -> int:
        with suppress(Exception):  # it may be away, or half way there
            return target.count()
        return -1

    return count


@pytest.mark.parametrize("made", SHORT, indirect=True)
def test_a_sink_that_is_killed_while_its_destination_is_away_misses_nothing(
    made: Target, broker: BrokerProcess, tmp_path: Path
) -> None:
    feed, program = Feed(broker, 7), sink_of(made, broker, tmp_path)
    try:
        feed.send(150)
        program.start()
        eventually(places(made), lambda count: count > 0, 60, program.said)
        program.end(signal.SIGKILL)
        made.away()
        feed.send(150)
        program.start()
        eventually(program.said, lambda said: "nothing is lost" in said, 60)
        feed.send(50)
        made.back()
        eventually(places(made), lambda count: count == feed.sent, 60, program.said)
        assert program.end() == 0
        check(made, read(broker, feed.sent))
        assert feed.poison > 0
    finally:
        program.close()
        feed.close()


@pytest.mark.soak
@pytest.mark.parametrize("made", list(KINDS), indirect=True)
def test_a_seeded_stream_of_2_000_a_second(made: Target, broker: BrokerProcess, tmp_path: Path) -> None:
    """50,000 records: killed at random, once away for a minute; what it has in the end is the topic."""
    feed, program, rng = Feed(broker, 11), sink_of(made, broker, tmp_path), random.Random(5)
    thread = threading.Thread(target=feed.send, args=(50_000, 2_000.0))
    try:
        program.start()
        thread.start()
        for turn in range(5):
            time.sleep(rng.uniform(2, 6))
            program.end(signal.SIGKILL)
            if turn == 4:
                made.away()
                program.start()
                time.sleep(60)
                made.back()
            else:
                program.start()
        thread.join(300)
        eventually(places(made), lambda count: count == feed.sent, 900, program.said)
        program.end()
        check(made, read(broker, feed.sent))
    finally:
        program.close()
        thread.join(60)
        feed.close()


@pytest.mark.soak
def test_a_sink_that_is_away_holds_up_no_other(broker: BrokerProcess, tmp_path: Path) -> None:
    targets = [KINDS["mongodb"](tmp_path), KINDS["jsonl"](tmp_path)]
    feed, programs = Feed(broker, 3), [sink_of(target, broker, tmp_path) for target in targets]
    try:
        targets[0].away()
        for program in programs:
            program.start()
        feed.send(2_000)
        eventually(places(targets[1]), lambda count: count == feed.sent, 60, programs[1].said)
        eventually(programs[0].said, lambda said: "nothing is lost" in said, 60)
        targets[0].back()
        eventually(places(targets[0]), lambda count: count == feed.sent, 60, programs[0].said)
        for target in targets:
            check(target, read(broker, feed.sent))
    finally:
        for program in programs:
            program.close()
        feed.close()
        targets[0].close()


FULL = {
    "jsonl": r"copies cannot be written to: No space left on device",
    "lake": r"the lake \S+ cannot be used: .*No space left on device \(os error 28\)",
    "mongodb": r"MongoDB at \S+ \(MONGODB_URL\) takes no documents: internal server error",
    "http": r"http-\w+\.json cannot be written: No space left on device",
    "snowflake": r"Snowflake at \S+ takes no records: the transaction was rolled back at its end",
}
"""What a sink says where its destination's disk is full; that of http has its offsets alone."""


@pytest.mark.soak
@pytest.mark.parametrize("kind", list(FULL))
def test_a_full_disk_is_waited_for(kind: str, broker: BrokerProcess, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 256) as disk:
        target: Any = KINDS[kind](disk.folder)
        feed, program = Feed(broker, 9), sink_of(target, broker, tmp_path, disk.folder / "state")
        try:
            program.start()
            feed.send(500)
            eventually(places(target), lambda count: count == feed.sent, 60, program.said)
            # Room for a part of a batch.
            disk.fill(0 if kind == "http" else 100_000)
            # Noise, which no compression makes small.
            feed.send(5_000, noise_bytes=200)
            eventually(program.said, lambda said: "nothing is lost" in said, 120)
            [said] = [line for line in program.said().splitlines() if "nothing is lost" in line]
            assert re.search(FULL[kind] + "; nothing is lost, it is tried again until it takes records$", said)
            disk.empty()
            target.mend()
            eventually(places(target), lambda count: count == feed.sent, 120, program.said)
            assert program.end() == 0
            check(target, read(broker, feed.sent))
        finally:
            program.close()
            feed.close()
            target.close()
