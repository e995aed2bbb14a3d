"""Corrupt record batches: found with all their offsets, and left behind."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from kafka import KafkaProducer, TopicPartition

from streamguard.config import load_settings
from streamguard.kafka.corrupt import CorruptBatch, corrupt_batches
from streamguard.kafka.topic_reader import TopicReader
from streamguard.kafka.topics import ensure_topics
from streamguard.sinks import SINKS
from streamguard.sinks.runner import run
from tests.support.broker import BrokerProcess
from tests.support.damage import corrupt_batch
from tests.support.records import T0_MS

P0 = TopicPartition("decisions", 0)


def send_batches(broker: BrokerProcess, sizes: Sequence[int], compression: str | None = None) -> None:
    """Batches of so many records each in partition 0 of `decisions`; the values are the offsets."""
    ensure_topics(load_settings(kafka_bootstrap_servers=broker.address))
    producer = KafkaProducer(
        bootstrap_servers=broker.address, linger_ms=60_000, batch_size=10**7, compression_type=compression
    )
    offset = 0
    for size in sizes:
        for _ in range(size):
            producer.send("decisions", value=b"%d" % offset, partition=0, timestamp_ms=T0_MS)
            offset += 1
        producer.flush()
    producer.close()


def spoil(broker: BrokerProcess, offset: int) -> range:
    return corrupt_batch(broker.data_dir, "decisions", 0, offset)


@pytest.mark.parametrize(
    ("sizes", "spoilt", "lost"),
    [
        ([5, 1, 5], [5], range(5, 6)),
        ([5, 100, 5], [5], range(5, 105)),
        ([100, 5], [0], range(100)),
        # The last one, and one behind which another corrupt one follows after a good one.
        ([5, 37], [5], range(5, 42)),
        ([3, 10, 2, 500], [3, 15], range(3, 13)),
        ([3, 10, 10, 5], [3, 13], range(3, 13)),
    ],
)
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_all_offsets_of_a_corrupt_batch_are_found(
    broker: BrokerProcess, sizes: list[int], spoilt: list[int], lost: range, compression: str | None
) -> None:
    send_batches(broker, sizes, compression)
    for offset in spoilt:
        spoil(broker, offset)
    found = corrupt_batches(broker.address, {P0: lost.start, TopicPartition("decisions", 1): 0})
    assert found == [CorruptBatch("decisions", 0, lost.start, lost.stop)]
    assert corrupt_batches(broker.address, {P0: lost.stop - 1})[0].next_offset == lost.stop
    assert "offset" in found[0].reason and str(lost.start) in found[0].reason


def test_a_whole_topic_has_none(broker: BrokerProcess) -> None:
    send_batches(broker, [3, 3])
    assert corrupt_batches(broker.address, {P0: 0}) == corrupt_batches(broker.address, {P0: 6}) == []


def test_a_reading_to_the_end_goes_on_behind(broker: BrokerProcess, caplog: pytest.LogCaptureFixture) -> None:
    send_batches(broker, [5, 10, 5, 10, 5])
    spoil(broker, 5)
    spoil(broker, 20)
    read = [int(record.value) for record in TopicReader(broker.address, "decisions")]
    assert read == [*range(5), *range(15, 20), *range(30, 35)]
    assert "decisions/0: the record batch is corrupt" in caplog.text
    assert "offsets 5 to 14 are lost" in caplog.text and "offsets 20 to 29 are lost" in caplog.text


def test_a_sink_goes_on_behind(broker: BrokerProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    send_batches(broker, [5, 10, 5])
    spoil(broker, 5)
    sink = SINKS["jsonl"](str(tmp_path / "out"))
    settings = load_settings(kafka_bootstrap_servers=broker.address)
    assert run(settings, sink, ["decisions"], threading.Event(), to_end=True) == 10
    sink.close()
    assert "offsets 5 to 14 are lost" in caplog.text
