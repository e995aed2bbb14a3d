"""A record batch whose CRC does not match: its records reach no query, its offsets are named, and reading goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from streamguard_ksql import ast
from streamguard_ksql.parser import parse_statement
from streamguard_ksql.runtime.corrupt import CorruptBatch
from streamguard_ksql.server.execution import Context
from streamguard_ksql.server.state import Server
from streamguard_ksql.statements.queries import ListQueries, list_queries
from tests.support.broker import BrokerProcess
from tests.support.engine import RunningEngine, consume, create_topic, produce, rows_of
from tests.support.ksqldb import eventually
from tests.support.segments import corrupt_batch

pytestmark = pytest.mark.integration
SOURCE = "CREATE STREAM s (k VARCHAR KEY, v VARCHAR) WITH (KAFKA_TOPIC='given', VALUE_FORMAT='JSON');"
COPY = "CREATE STREAM o WITH (KAFKA_TOPIC='o') AS SELECT k, v FROM s;"
COUNT = "CREATE TABLE n WITH (KAFKA_TOPIC='n') AS SELECT k, COUNT(*) AS c FROM s GROUP BY k;"
JOIN = """
CREATE STREAM r (k VARCHAR KEY, w VARCHAR) WITH (KAFKA_TOPIC='right', VALUE_FORMAT='JSON');
CREATE STREAM o WITH (KAFKA_TOPIC='o') AS
  SELECT s.k, v FROM s LEFT JOIN r WITHIN 1 DAYS ON s.k = r.k;
"""
SIZE = 10
VALUES = [f"v{n // SIZE}-{n % SIZE}" for n in range(4 * SIZE)]
"""Produced one by one and in order, so that offset n has the n-th, in about a batch for each SIZE of them."""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path / "broker") as broker:
        for topic in ("given", "right"):
            create_topic(broker.address, topic, 1)
        for first in range(0, len(VALUES), SIZE):
            produce(broker.address, "given", [("k", {"V": value}) for value in VALUES[first : first + SIZE]])
        yield broker


def damage(broker: BrokerProcess, topic: str, *contents: bytes) -> set[int]:
    """Damage the batches with these contents; their offsets."""
    broker.stop()
    lost = {offset for content in contents for offset in corrupt_batch(broker.data_dir, topic, content)}
    broker.start()
    return lost


def kept(lost: set[int]) -> list[str]:
    return [value for offset, value in enumerate(VALUES) if offset not in lost]


def copied(broker: BrokerProcess) -> list[str]:
    return [orjson.loads(value or b"")["V"] for _, value in consume(broker.address, "o")]


@pytest.mark.parametrize("statements", [COPY, JOIN], ids=["one topic", "two topics"])
@pytest.mark.parametrize("batches", ["0", "12", "3", *(pytest.param(b, marks=pytest.mark.soak) for b in ("1", "0123"))])
def test_a_query_goes_on_behind_a_corrupt_batch(broker: BrokerProcess, statements: str, batches: str) -> None:
    lost = damage(broker, "given", *[f"v{n}-5".encode() for n in batches])
    engine = RunningEngine(broker.address)
    try:
        engine.sql(SOURCE + statements)
        engine.settle()
        assert copied(broker) == kept(lost)
        [query_id] = engine.runtime.engine.queries
        stats = engine.runtime.stats(query_id)
        assert (stats.state, stats.skipped) == ("RUNNING", {"corrupt": len(lost)})
        produce(broker.address, "given", [("k", {"V": "later"})])
        engine.settle()
        assert copied(broker) == [*kept(lost), "later"]
    finally:
        engine.close()


def test_what_is_lost_is_named_wherever_a_person_looks(broker: BrokerProcess, caplog: pytest.LogCaptureFixture) -> None:
    lost = damage(broker, "given", b"v1-5")
    engine = RunningEngine(broker.address)
    try:
        with caplog.at_level(logging.ERROR):
            engine.sql(SOURCE + COPY + COUNT)
            engine.settle()
        place = f"topic given, partition 0, offsets {min(lost)} to {max(lost)}, is corrupt and was left out: "
        assert place in caplog.text
        entries = rows_of(
            engine.push("SELECT message->deserializationError->errorMessage AS e FROM ksql_processing_log;")
        )
        assert [place in str(entry) for entry in entries] == [True, True]
        [listed] = list_queries(_list_queries(), Context(Server(engine.runtime), {}, {}))
        assert sorted(w["message"] for w in listed["warnings"]) == [
            f"Query {query_id} has left out {len(lost)} records of corrupt batches; the processing log names them."
            for query_id in sorted(engine.runtime.engine.queries)
        ]
    finally:
        engine.close()


def _list_queries() -> ListQueries:
    statement = parse_statement("SHOW QUERIES;")
    assert isinstance(statement, ListQueries)
    return statement


@pytest.mark.parametrize("statement", [COPY, COUNT], ids=["without state", "with state"])
@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once_v2"])
def test_a_corrupt_batch_at_the_end_is_passed_once(broker: BrokerProcess, statement: str, guarantee: str) -> None:
    damage(broker, "given", b"v3-5")
    engine = RunningEngine(broker.address, {"ksql.streams.processing.guarantee": guarantee})
    try:
        engine.sql(SOURCE + statement)
        engine.settle()
        engine.restart()
        engine.settle()
        [query_id] = engine.runtime.engine.queries
        assert not engine.runtime.stats(query_id).skipped
    finally:
        engine.close()


def test_queries_of_clients_and_print_go_on(broker: BrokerProcess) -> None:
    lost = damage(broker, "given", b"v1-5")
    engine = RunningEngine(broker.address)
    try:
        engine.sql(SOURCE)
        rows = rows_of(
            engine.push(f"SELECT v FROM s EMIT CHANGES LIMIT {len(kept(lost))};", auto_offset_reset="earliest")
        )
        assert [v for [v] in rows if v] == kept(lost)  # type: ignore[misc]
        printed = parse_statement(f"PRINT given FROM BEGINNING LIMIT {len(kept(lost))};")
        assert isinstance(printed, ast.PrintTopic)
        lines = [line for line in engine.runtime.print_topic(printed, {}) if line]
        assert sum("is corrupt and was left out" in line for line in lines) == 1
        assert sum("value: " in line for line in lines) == len(kept(lost))
    finally:
        engine.close()


def test_a_query_whose_changelog_is_corrupt_ends(broker: BrokerProcess) -> None:
    engine = RunningEngine(broker.address)
    engine.sql(SOURCE + COUNT + COPY)
    engine.settle()
    engine.close()
    damage(broker, "_confluent-ksql-test_query_CTAS_N_3-changelog", b"Aggregate")
    engine = RunningEngine(broker.address)
    try:
        stream, table = sorted(engine.runtime.engine.queries)
        failure = str(eventually(lambda: engine.runtime.stats(table).failure, 20))
        assert failure.startswith(
            "CorruptBatch: The record batch of topic _confluent-ksql-test_query_CTAS_N_3-changelog"
        )
        assert "restore the topic from a backup, or drop the query" in failure
        assert engine.runtime.stats(stream).state == "RUNNING"
    finally:
        engine.close()


def test_a_corrupt_command_topic_is_no_empty_one(broker: BrokerProcess) -> None:
    engine = RunningEngine(broker.address)
    engine.sql(SOURCE)
    engine.close()
    damage(broker, "_confluent-ksql-test__command_topic", b"CREATE STREAM")
    with pytest.raises(CorruptBatch, match=r"offset 0 is corrupt: .* restore the topic from a backup"):
        RunningEngine(broker.address)
