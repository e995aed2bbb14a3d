"""The runner: a destination that is away is waited for, the group is told of the offsets, several readings go on as one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import orjson
import pytest
from kafka import KafkaAdminClient, KafkaProducer

from streamguard.config import Settings, load_settings
from streamguard.kafka.lags import group_lag
from streamguard.kafka.topics import ensure_topics
from streamguard.metrics.sink import SinkMetrics
from streamguard.sinks import SINKS, Batch, Sink, SinkError, SinkRecord, SinkUnavailable, runner
from streamguard.sinks.runner import run
from tests.support.broker import BrokerProcess

GROUP = "streamguard-sink-jsonl"


def until(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def send(settings: Settings, count: int, first: int = 0) -> None:
    ensure_topics(settings)
    producer = KafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers)
    for number in range(first, first + count):
        producer.send("decisions", b'{"n": %d}' % number, b"A", partition=number % 3)
    producer.flush()
    producer.close()


@contextmanager
def running(settings: Settings, sink: Sink, metrics: SinkMetrics, batch: Batch | None = None) -> Iterator[None]:
    stop = threading.Event()
    options = {"metrics": metrics, "group": GROUP, "batch": batch}
    thread = threading.Thread(target=run, args=(settings, sink, ["decisions"], stop), kwargs=options)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
        sink.close()


def stored(folder: Path) -> list[int]:
    texts = [file.read_bytes() for file in folder.glob("*.jsonl") if file.is_file()]
    return sorted(orjson.loads(line)["value"]["n"] for text in texts for line in text.splitlines())


def test_a_destination_that_is_away_is_waited_for(
    broker: BrokerProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = load_settings(kafka_bootstrap_servers=broker.address)
    send(settings, 30)
    # A folder in the place of the file: nothing can be written until it is gone.
    hindrance = tmp_path / "decisions-1.jsonl"
    hindrance.mkdir()
    metrics = SinkMetrics("jsonl")
    with running(settings, SINKS["jsonl"](str(tmp_path)), metrics):
        until(lambda: "cannot be" in (metrics.ready() or ""))
        until(lambda: caplog.text.count("nothing is lost") == 1)
        hindrance.rmdir()
        until(lambda: len(stored(tmp_path)) == 30)
        send(settings, 3, first=30)
        until(lambda: metrics.ready() is None and len(stored(tmp_path)) == 33)
    assert stored(tmp_path) == list(range(33))
    assert caplog.text.count("nothing is lost") == 1
    found = {s.name: s.value for family in metrics.collect() for s in family.samples}
    assert found["streamguard_sink_outages_total"] == 1 and found["streamguard_sink_destination_up"] == 1
    assert found["streamguard_sink_lag_records"] == 0


class Full:
    """A sink that says what it has, and takes nothing while it is full."""

    def __init__(self) -> None:
        self.is_full, self.tried = True, 0
        self.records: list[SinkRecord] = []

    def next_offsets(self, topic: str) -> Mapping[int, int]:
        return {r.partition: r.offset + 1 for r in self.records}

    def write(self, records: Sequence[SinkRecord]) -> None:
        self.tried += 1
        if self.is_full:
            raise SinkUnavailable("there is no room")
        self.records += records

    def close(self) -> None:
        pass


def test_a_destination_that_answers_and_takes_nothing_stays_unavailable(
    broker: BrokerProcess, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alarm needs two minutes of it, and a person one line."""
    monkeypatch.setattr(runner, "FIRST_RETRY_S", 0.05)
    settings = load_settings(kafka_bootstrap_servers=broker.address)
    sink, metrics = Full(), SinkMetrics("jsonl")

    def is_up() -> bool:
        return any(s.value for f in metrics.collect() for s in f.samples if s.name == "streamguard_sink_destination_up")

    def is_down_for_long() -> bool:
        assert not is_up() and metrics.ready() == "there is no room"
        return sink.tried >= 4

    def has(count: int) -> bool:
        return len(sink.records) == count

    with caplog.at_level(logging.INFO), running(settings, sink, metrics):
        for sent in (30, 60):
            until(lambda: metrics.ready() is None)
            sink.is_full, sink.tried = True, 0
            send(settings, 30)
            until(lambda: metrics.ready() == "there is no room")
            until(is_down_for_long)
            sink.is_full = False
            until(partial(has, sent))
            until(lambda: is_up() and metrics.ready() is None)
    assert caplog.text.count("nothing is lost") == caplog.text.count("takes records again") == 2


def test_the_group_is_told_of_what_is_written(broker: BrokerProcess, tmp_path: Path) -> None:
    settings = load_settings(kafka_bootstrap_servers=broker.address)
    send(settings, 30)
    sink = SINKS["jsonl"](str(tmp_path))
    assert run(settings, sink, ["decisions"], threading.Event(), to_end=True, group=GROUP) == 30
    sink.close()
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    try:
        assert [(lag.committed, lag.records) for lag in group_lag(admin, GROUP)] == [(10, 0)] * 3
    finally:
        admin.close()


def test_a_batch_waits_for_its_records(broker: BrokerProcess, tmp_path: Path) -> None:
    settings = load_settings(kafka_bootstrap_servers=broker.address)
    send(settings, 5)
    metrics = SinkMetrics("jsonl")
    with running(settings, SINKS["jsonl"](str(tmp_path)), metrics, Batch(20, 3_600)):
        until(lambda: metrics.ready() is None)
        send(settings, 25, first=5)
        until(lambda: len(stored(tmp_path)) >= 20)
    sink = SINKS["jsonl"](str(tmp_path))
    run(settings, sink, ["decisions"], threading.Event(), to_end=True, group=GROUP, batch=Batch(20, 3_600))
    sink.close()
    assert stored(tmp_path) == list(range(30))


def test_a_topic_that_was_made_anew_is_an_error(broker: BrokerProcess, tmp_path: Path) -> None:
    settings = load_settings(kafka_bootstrap_servers=broker.address)
    send(settings, 3)
    (tmp_path / "decisions-1.jsonl").write_text('{"offset": 99}\n')
    sink = SINKS["jsonl"](str(tmp_path))
    with pytest.raises(SinkError, match=r"decisions/1 ends at 1, and the sink has what is before 100: .* made anew"):
        run(settings, sink, ["decisions"], threading.Event(), to_end=True)
    sink.close()


def test_partitions_that_are_added_are_read(broker: BrokerProcess, tmp_path: Path) -> None:
    settings = load_settings(kafka_bootstrap_servers=broker.address)
    send(settings, 3)
    for partitions, first in ((3, 3), (4, 6)):
        admin = KafkaAdminClient(bootstrap_servers=broker.address)
        if partitions > 3:
            admin.create_partitions({"decisions": partitions})
        admin.close()
        send(settings, 3, first)
        sink = SINKS["jsonl"](str(tmp_path))
        run(settings, sink, ["decisions"], threading.Event(), to_end=True, group=GROUP)
        sink.close()
    assert stored(tmp_path) == list(range(9))
