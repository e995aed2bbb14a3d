"""The sink of JSON lines: every record once, in order, wherever the process was killed."""

from __future__ import annotations

import base64
import os
import threading
import time
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kafka import KafkaProducer

from streamguard.config import load_settings
from streamguard.kafka.topics import ensure_topics
from streamguard.metrics.sink import SinkMetrics
from streamguard.sinks import SINKS, SinkError, SinkRecord
from streamguard.sinks.runner import run, topics_of
from tests.support.broker import BrokerProcess


def record(offset: int, value: bytes | None = b'{"amount": 1.5}', partition: int = 0) -> SinkRecord:
    return SinkRecord("decisions", partition, offset, b"A", value, 1_700_000_000_000 + offset)


def lines(folder: Path, name: str) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in (folder / f"{name}.jsonl").read_bytes().splitlines()]


def test_lines_carry_the_record(tmp_path: Path) -> None:
    sink = SINKS["jsonl"](str(tmp_path / "out"))
    sink.write([record(0), record(1, None), record(2, b"\xff{"), record(7, partition=2)])
    sink.close()
    first, null, odd = lines(tmp_path / "out", "decisions-0")
    assert first == {"offset": 0, "timestamp": 1_700_000_000_000, "key": "A", "value": {"amount": 1.5}}
    assert null["value"] is None
    assert odd["value_base64"] == "/3s=" and "value" not in odd
    again = SINKS["jsonl"](str(tmp_path / "out"))
    assert again.next_offsets("decisions") == {0: 3, 2: 8}
    again.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 700), size=st.integers(1, 200_000))
def test_a_line_cut_short_is_written_again(tmp_path_factory: pytest.TempPathFactory, cut: int, size: int) -> None:
    """Whatever a crash left of the last lines, the file continues without a gap and without a repeat."""
    folder = tmp_path_factory.mktemp("sink")
    values = [orjson.dumps({"text": "x" * (size if n == 2 else n)}) for n in range(6)]
    sink = SINKS["jsonl"](str(folder))
    sink.write([record(n, value) for n, value in enumerate(values)])
    sink.close()
    file = folder / "decisions-0.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[: max(0, len(whole) - cut)])
    again = SINKS["jsonl"](str(folder))
    start = again.next_offsets("decisions").get(0, 0)
    again.write([record(n, values[n]) for n in range(start, 6)])
    again.close()
    assert file.read_bytes() == whole


def test_a_value_is_kept_as_it_was_written_in_one_line(tmp_path: Path) -> None:
    values = [
        b'{"a": 1.10, "b": 123456789012345678901234567890}',
        b'{\n "a": 1\r\n}',
        b"[" * 1_000 + b"\n" + b"]" * 1_000,
    ]
    sink = SINKS["jsonl"](str(tmp_path))
    sink.write([record(n, value) for n, value in enumerate(values)])
    sink.close()
    exact, spread, deep = (tmp_path / "decisions-0.jsonl").read_bytes().splitlines()
    assert values[0] in exact and b'"value":{"a":1}' in spread
    assert base64.b64decode(orjson.loads(deep)["value_base64"]) == values[2]


def test_a_file_is_turned_over_by_size_and_by_day(tmp_path: Path) -> None:
    """The offset is found over the files, also where a crash came between the renaming and the next line."""
    now_s = time.time()

    def write(offset: int, later_s: float = 0.0, **options: int) -> None:
        with closing(SINKS["jsonl"](str(tmp_path), clock=lambda: now_s + later_s, **options)) as sink:
            assert sink.next_offsets("decisions").get(0, 0) == offset
            sink.write([record(offset), record(offset + 1)])
        os.utime(tmp_path / "decisions-0.jsonl", (now_s, now_s))

    write(0)
    write(2)
    write(4, most_bytes=50)
    write(6, later_s=86_400)
    today = datetime.fromtimestamp(now_s, timezone.utc).date()
    closed = [f"decisions-0.{today}.{first:020}.jsonl" for first in (0, 4)]
    assert sorted(file.name for file in tmp_path.glob("*.jsonl")) == [*closed, "decisions-0.jsonl"]
    (tmp_path / "decisions-0.jsonl").rename(tmp_path / f"decisions-0.{today}.{6:020}.jsonl")
    write(8)
    found = [
        orjson.loads(line)["offset"] for file in tmp_path.glob("*.jsonl") for line in file.read_bytes().splitlines()
    ]
    assert sorted(found) == list(range(10))


def test_other_topics_and_files_are_left_alone(tmp_path: Path) -> None:
    for name in ("decisions-0.jsonl.bak", "decisions-x-1.jsonl", "decisions-1.note.jsonl"):
        (tmp_path / name).write_text("mine\n")
    with closing(SINKS["jsonl"](str(tmp_path))) as sink:
        assert sink.next_offsets("decisions") == {}


def test_a_foreign_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "decisions-0.jsonl").write_text("hello\n")
    sink = SINKS["jsonl"](str(tmp_path))
    with pytest.raises(SinkError, match="its last line has no offset"):
        sink.next_offsets("decisions")
    sink.close()
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match="cannot be made"):
        SINKS["jsonl"](str(tmp_path / "file" / "below"))


def test_records_and_bytes_are_counted_by_topic(broker: BrokerProcess, tmp_path: Path) -> None:
    configured = load_settings(KAFKA_BOOTSTRAP_SERVERS=broker.address)
    ensure_topics(configured)
    producer = KafkaProducer(bootstrap_servers=broker.address)
    for value in (b"{}", b"[1]"):
        producer.send("transactions", value, b"A").get(30)
    producer.close()
    sink, metrics = SINKS["jsonl"](str(tmp_path)), SinkMetrics("jsonl")
    assert metrics.ready() == "it is starting"
    run(configured, sink, topics_of(configured), threading.Event(), to_end=True, metrics=metrics)
    sink.close()
    found = {(s.name, *s.labels.values()): s.value for family in metrics.collect() for s in family.samples}
    assert found["streamguard_sink_records_written_total", "jsonl", "transactions"] == 2
    assert found["streamguard_sink_written_bytes_total", "jsonl", "transactions"] == 7
    assert found["streamguard_sink_last_written_timestamp_seconds", "jsonl"] > 1_600_000_000
    assert found["streamguard_sink_outages_total", "jsonl"] == 0
    assert metrics.ready() is None
    metrics.outage()
    assert metrics.ready() == "Kafka is unavailable"


def test_a_second_process_is_rejected(tmp_path: Path) -> None:
    first = SINKS["jsonl"](str(tmp_path))
    with pytest.raises(SinkError, match="another process writes to"):
        SINKS["jsonl"](str(tmp_path))
    first.close()
    SINKS["jsonl"](str(tmp_path)).close()


def test_the_topics_reach_the_files_once(broker: BrokerProcess, tmp_path: Path) -> None:
    ours = load_settings(kafka_bootstrap_servers=broker.address)
    ensure_topics(ours)
    producer = KafkaProducer(bootstrap_servers=broker.address)
    for number in range(50):
        producer.send(topics_of(ours)[number % 3], key=b"%d" % number, value=b'{"n": %d}' % number)
        if number in (20, 40):
            producer.flush()
            sink = SINKS["jsonl"](str(tmp_path))
            run(ours, sink, topics_of(ours), threading.Event(), to_end=True)
            sink.close()
    producer.close()
    sink = SINKS["jsonl"](str(tmp_path))
    assert run(ours, sink, topics_of(ours), threading.Event(), to_end=True) == 9
    sink.close()
    texts = [file.read_bytes() for file in tmp_path.glob("*.jsonl")]
    found = [orjson.loads(line)["value"]["n"] for text in texts for line in text.splitlines()]
    assert sorted(found) == list(range(50))
