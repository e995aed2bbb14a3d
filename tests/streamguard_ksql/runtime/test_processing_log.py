"""What cannot be read, evaluated or written is logged and counted, and the query goes on."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from streamguard_ksql.operators.base import ProcessingError
from streamguard_ksql.runtime import processing_log
from streamguard_ksql.runtime.names import processing_log_topic
from streamguard_ksql.runtime.processing_log import ProcessingLog
from tests.support.broker import BrokerProcess
from tests.support.engine import SERVICE_ID, RunningEngine, consume, create_topic, produce, rows_of
from tests.support.processes import eventually

pytestmark = pytest.mark.integration
LOG = processing_log_topic(SERVICE_ID)
SETUP = """
CREATE STREAM s (k VARCHAR KEY, n INT, text VARCHAR, items ARRAY<INT>)
  WITH (KAFKA_TOPIC='given', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE STREAM results WITH (KAFKA_TOPIC='results') AS
  SELECT k, 100 / n AS quotient, CAST(text AS INT) AS number, items[-1] AS last, LEN(text) AS length FROM s;
"""
GOOD = {"N": 4, "TEXT": "7", "ITEMS": [1, 2, 3]}


def log_of(servers: str) -> list[dict[str, Any]]:
    return [orjson.loads(v or b"") for _, v in consume(servers, LOG)]


def results_of(servers: str) -> dict[str, dict[str, Any]]:
    return {(k or b"").decode(): orjson.loads(v or b"null") for k, v in consume(servers, "results")}


def test_bad_records_are_logged_and_the_rest_goes_on(engine: RunningEngine, servers: str) -> None:
    engine.sql(SETUP)
    deep = b'{"N": 1, "TEXT": "1", "ITEMS": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    bad: list[tuple[str, Any]] = [
        ("malformed", b"{nonsense"),
        ("no object", b"17"),
        ("wrong type", {"N": {"a": 1}, "TEXT": "1"}),
        ("out of range", {"N": 99_999_999_999, "TEXT": "1"}),
        ("too deep", deep),
        ("not utf-8", b"\xff\xfe{}"),
        ("unpaired surrogate", b'{"N": 1, "TEXT": "\\ud800", "ITEMS": []}'),
        ("by zero", {**GOOD, "N": 0}),
        ("bad cast", {**GOOD, "TEXT": "seven"}),
    ]
    produce(servers, "given", [("good", GOOD), *bad, ("empty list", {**GOOD, "ITEMS": []}), ("last", GOOD)])
    engine.settle()
    stats = engine.runtime.stats("CSAS_RESULTS_3")
    assert stats.state == "RUNNING"
    results = results_of(servers)
    whole = {"QUOTIENT": 25, "NUMBER": 7, "LAST": 3, "LENGTH": 1}
    assert results["good"] == results["last"] == whole
    assert results["empty list"] == {**whole, "LAST": None}
    assert results["by zero"] == {**whole, "QUOTIENT": None}
    assert results["bad cast"]["NUMBER"] is None
    entries = log_of(servers)
    assert len(entries) == stats.errors
    kinds = [e["message"]["type"] for e in entries]
    assert kinds.count(0) >= 5
    assert kinds.count(1) >= 2
    assert all(e["level"] == "ERROR" and "CSAS_RESULTS_3" in e["logger"] for e in entries)
    # The log is a stream.
    stream = engine.push("SELECT message->type FROM ksql_processing_log;")
    assert len(rows_of(stream)) == len(entries)


def test_a_megabyte_of_text_passes(engine: RunningEngine, servers: str) -> None:
    engine.sql(
        "CREATE STREAM s (k VARCHAR KEY, text VARCHAR) WITH (KAFKA_TOPIC='given', VALUE_FORMAT='JSON', PARTITIONS=1);"
    )
    engine.sql(
        "CREATE TABLE last WITH (KAFKA_TOPIC='last') AS SELECT k, LATEST_BY_OFFSET(text) AS text FROM s GROUP BY k;"
    )
    text = "x" * 900_000
    produce(servers, "given", [("a", {"TEXT": text}), ("b", {"TEXT": "short"})])
    engine.settle()
    engine.restart()
    assert engine.pull("SELECT text FROM last WHERE k = 'a';") == [[text]]
    assert engine.runtime.stats("CTAS_LAST_3").errors == 0


def test_table_records_without_key_are_logged(engine: RunningEngine, servers: str) -> None:
    create_topic(servers, "t", 1)  # not compacted: a compacted topic takes no record without a key
    engine.sql("CREATE TABLE t (k VARCHAR PRIMARY KEY, v INT) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON');")
    engine.sql("CREATE TABLE copy WITH (KAFKA_TOPIC='copy') AS SELECT * FROM t;")
    produce(servers, "t", [("a", {"V": 1}), (None, {"V": 2}), ("b", {"V": 3})])
    engine.settle()
    assert sorted(engine.pull("SELECT * FROM copy;")) == [["a", 1], ["b", 3]]
    assert engine.runtime.stats("CTAS_COPY_3").errors == 1
    assert "without a key" in log_of(servers)[0]["message"]["recordProcessingError"]["errorMessage"]


def test_nothing_but_bad_records_is_bounded(tmp_path: Any) -> None:
    """Each error is counted; beyond a burst only so many per second are written, and the log says how many were not."""
    with BrokerProcess(tmp_path / "log") as broker:
        create_topic(broker.address, "log", 1)
        now = [1_000.0]
        log = ProcessingLog(broker.address, "log", clock=lambda: now[0])
        error = ProcessingError("q", "RECORD_PROCESSING", "bad")
        for _ in range(processing_log.BURST + 500):
            log(error)
        assert log.left_out == 500
        now[0] += 1
        log(error)

        def logged() -> list[Any]:
            log.flush()  # waits a little only
            return [orjson.loads(v or b"") for _, v in consume(broker.address, "log")]

        values = eventually(logged, lambda found: len(found) >= processing_log.BURST + 2)
        assert len(values) == processing_log.BURST + 2
        assert values[-2]["message"]["recordProcessingError"]["errorMessage"].startswith("500 further errors")


def test_a_log_that_is_away_blocks_no_query(tmp_path: Any) -> None:
    with BrokerProcess(tmp_path / "log") as broker:
        create_topic(broker.address, "log", 1)
        log = ProcessingLog(broker.address, "log")
        broker.kill()
        for _ in range(5_000):
            log(ProcessingError("q", "RECORD_PROCESSING", "bad"))
        broker.start()
        log.flush()
        log.flush()
        assert len(consume(broker.address, "log")) == 5_000
