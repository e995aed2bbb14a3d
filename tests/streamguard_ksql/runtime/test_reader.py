"""Push queries, pull queries and PRINT on a running engine."""

from __future__ import annotations

import threading
import time

import pytest

from streamguard_ksql import ast
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.parser import parse_statement
from streamguard_ksql.runtime.clients import KafkaTopics
from tests.support.engine import RunningEngine, produce, rows_of

pytestmark = pytest.mark.integration
T0_MS = int(time.time()) // 60 * 60_000 - 600_000
SETUP = """
CREATE STREAM s (k VARCHAR KEY, v BIGINT) WITH (KAFKA_TOPIC='given', VALUE_FORMAT='JSON', PARTITIONS=3);
CREATE TABLE totals WITH (KAFKA_TOPIC='totals') AS SELECT k, SUM(v) AS total FROM s GROUP BY k;
CREATE TABLE many WITH (KAFKA_TOPIC='many') AS SELECT k, total FROM totals WHERE total > 100;
CREATE TABLE by_minute WITH (KAFKA_TOPIC='minutes') AS
  SELECT k, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 1 MINUTE, GRACE PERIOD 1 DAYS) GROUP BY k;
CREATE TABLE sessions WITH (KAFKA_TOPIC='sessions') AS
  SELECT k, COUNT(*) AS n FROM s WINDOW SESSION (30 SECONDS, GRACE PERIOD 1 DAYS) GROUP BY k;
CREATE TABLE joined WITH (KAFKA_TOPIC='joined') AS
  SELECT t.k AS k, t.total AS total, m.total AS over FROM totals t LEFT JOIN many m ON t.k = m.k;
"""


def fill(servers: str) -> None:
    """Per key k0...k9 ten values, ten seconds apart: 0 + n, 10 + n, ..."""
    values = range(100)
    produce(
        servers,
        "given",
        [(f"k{v % 10}", {"V": v}) for v in values],
        [T0_MS + v // 10 * 10_000 for v in values],
    )


@pytest.fixture
def filled(engine: RunningEngine, servers: str) -> RunningEngine:
    engine.sql(SETUP)
    fill(servers)
    engine.settle()
    return engine


def test_pull_queries(filled: RunningEngine) -> None:
    pull = filled.pull
    assert pull("SELECT total FROM totals WHERE k = 'k3';") == [[480]]
    assert pull("SELECT * FROM totals WHERE k = 'nobody';") == []
    assert sorted(pull("SELECT k FROM totals WHERE k IN ('k1', 'k2', 'x');")) == [["k1"], ["k2"]]
    assert sorted(pull("SELECT k FROM totals WHERE k > 'k6' AND total < 540;")) == [["k7"], ["k8"]]
    assert len(pull("SELECT * FROM totals;")) == 10
    assert len(pull("SELECT * FROM totals LIMIT 4;")) == 4
    assert pull("SELECT * FROM many WHERE k = 'k9';") == [["k9", 540]]
    assert pull("SELECT * FROM joined WHERE k = 'k5';") == [["k5", 500, 500]]
    assert len(pull("SELECT * FROM joined;")) == 10


def test_pull_queries_over_windows(filled: RunningEngine) -> None:
    first = filled.pull("SELECT * FROM by_minute WHERE k = 'k1';")
    assert sorted(first) == [["k1", T0_MS, T0_MS + 60_000, 6], ["k1", T0_MS + 60_000, T0_MS + 120_000, 4]]
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(T0_MS / 1000))
    for bound in (str(T0_MS), f"'{stamp}'", f"'{stamp}+0000'"):
        assert filled.pull(f"SELECT n FROM by_minute WHERE k = 'k1' AND WINDOWSTART = {bound};") == [[6]]
    later = f"SELECT n FROM by_minute WHERE k = 'k1' AND WINDOWSTART > {T0_MS} AND WINDOWEND <= {T0_MS + 120_000};"
    assert filled.pull(later) == [[4]]
    assert len(filled.pull(f"SELECT * FROM by_minute WHERE WINDOWSTART >= {T0_MS};")) == 20
    assert filled.pull("SELECT * FROM sessions WHERE k = 'k1';") == [["k1", T0_MS, T0_MS + 90_000, 10]]
    filled.restart()
    assert sorted(filled.pull("SELECT * FROM by_minute WHERE k = 'k1';")) == sorted(first)
    assert filled.pull("SELECT * FROM sessions WHERE k = 'k1';") == [["k1", T0_MS, T0_MS + 90_000, 10]]


def test_pull_queries_that_are_refused(filled: RunningEngine) -> None:
    filled.sql(
        "CREATE TABLE raw (k VARCHAR PRIMARY KEY, total BIGINT) WITH (KAFKA_TOPIC='totals', VALUE_FORMAT='JSON');"
    )
    for text, reason in (
        ("SELECT * FROM raw;", "isn't queryable"),
        ("SELECT k, COUNT(*) FROM totals GROUP BY k;", "GROUP BY"),
        ("SELECT * FROM totals t JOIN many m ON t.k = m.k;", "JOIN"),
        ("SELECT k FROM totals WHERE ROWPARTITION = 0;", "in WHERE clauses: `ROWPARTITION`"),
        ("SELECT k, ROWOFFSET FROM totals;", "in SELECT clauses: `ROWOFFSET`"),
    ):
        with pytest.raises(KsqlError, match=reason):
            filled.pull(text)


def test_push_query_from_the_beginning_to_its_limit(filled: RunningEngine) -> None:
    stream = filled.push("SELECT k, v FROM s WHERE v >= 50 EMIT CHANGES LIMIT 20;", auto_offset_reset="earliest")
    rows = rows_of(stream)
    assert len(rows) == 20
    assert all(r is not None and r[1] >= 50 for r in rows)
    assert stream.end_reason == "Limit Reached"


def test_push_query_from_now_on(filled: RunningEngine, servers: str) -> None:
    stream = filled.push("SELECT k, v FROM s EMIT CHANGES;", ksql_streams_auto_offset_reset="latest")
    assert not rows_of_one_look(stream)
    produce(servers, "given", [("new", {"V": 7})])
    assert rows_of(stream, 1) == [["new", 7]]
    stream.close()
    stream.close()
    assert stream.next_rows(1) is None


def rows_of_one_look(stream: object) -> list[object]:
    return list(stream.next_rows(0.5) or ())  # type: ignore[attr-defined]


def test_push_query_is_closed_from_another_thread(filled: RunningEngine) -> None:
    stream = filled.push("SELECT * FROM s WHERE v < 0 EMIT CHANGES;")
    ended = threading.Event()

    def read() -> None:
        while stream.next_rows(5) is not None:
            pass
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    time.sleep(0.3)
    stream.close()
    assert ended.wait(2)


def test_push_query_over_a_table_tells_tombstones(engine: RunningEngine, servers: str) -> None:
    engine.sql(
        "CREATE TABLE t (k VARCHAR PRIMARY KEY, v BIGINT) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON', PARTITIONS=1);"
    )
    produce(servers, "t", [("a", {"V": 1}), ("b", {"V": 2}), ("a", None), ("b", {"V": 5})])
    stream = engine.push("SELECT k, v FROM t WHERE v < 4 EMIT CHANGES;", auto_offset_reset="earliest")
    assert rows_of(stream, 4) == [["a", 1], ["b", 2], None, None]
    stream.close()


def test_pull_query_over_a_stream_ends_where_the_stream_ends(filled: RunningEngine) -> None:
    stream = filled.push("SELECT k, v FROM s WHERE v >= 90;")
    assert sorted(r[1] for r in rows_of(stream) if r) == list(range(90, 100))
    assert stream.end_reason == "Query Completed"


def test_pull_query_over_a_stream_of_transactions_ends_too(start: object, servers: str) -> None:
    engine: RunningEngine = start({"ksql.streams.processing.guarantee": "exactly_once_v2"})  # type: ignore[operator]
    engine.sql(SETUP + "CREATE STREAM copy WITH (KAFKA_TOPIC='copy') AS SELECT * FROM s;")
    fill(servers)
    engine.settle()
    engine.close()  # what is read below is committed
    engine.restart()
    assert len(rows_of(engine.push("SELECT * FROM copy;"))) == 100
    engine.sql("CREATE STREAM twice WITH (KAFKA_TOPIC='twice') AS SELECT k, v * 2 AS v FROM copy;")
    engine.settle()
    engine.close()
    engine.restart()
    assert len(rows_of(engine.push("SELECT * FROM twice;"))) == 100


def test_print(filled: RunningEngine) -> None:
    statement = parse_statement("PRINT 'given' FROM BEGINNING LIMIT 5;")
    assert isinstance(statement, ast.PrintTopic)
    lines = [line for line in filled.runtime.print_topic(statement, {}) if line]
    assert lines[:2] == ["Key format: KAFKA_STRING", "Value format: JSON or KAFKA_STRING"]
    assert len(lines) == 7
    assert all(line.startswith("rowtime: 20") and "value: {" in line for line in lines[2:])
    with pytest.raises(KsqlError, match="Did you mean: given"):
        filled.runtime.print_topic(parse_statement("PRINT 'GIVEN';"), {})  # type: ignore[arg-type]


def test_a_source_table_is_kept_for_pull_queries(engine: RunningEngine, servers: str) -> None:
    KafkaTopics(servers).create("people", 3, {"cleanup.policy": "compact"})
    produce(servers, "people", [("ada", {"AGE": 36}), ("bob", {"AGE": 20}), ("bob", {"AGE": 21}), ("eve", {"AGE": 5})])
    engine.sql(
        "CREATE SOURCE TABLE people (name VARCHAR PRIMARY KEY, age INT) WITH (KAFKA_TOPIC='people', VALUE_FORMAT='JSON');"
    )
    engine.settle()
    assert sorted(engine.pull("SELECT * FROM people;")) == [["ada", 36], ["bob", 21], ["eve", 5]]
    assert engine.pull("SELECT age FROM people WHERE name = 'bob';") == [[21]]
    [query_id] = engine.runtime.engine.queries
    assert query_id.startswith("CST_PEOPLE_")
    produce(servers, "people", [("eve", None), ("dan", {"AGE": 9})])
    engine.restart()
    engine.settle()
    assert sorted(engine.pull("SELECT name FROM people WHERE age < 30;")) == [["bob"], ["dan"]]
    with pytest.raises(KsqlError, match="because it is linked to a source table"):
        engine.sql(f"TERMINATE {query_id};")
    engine.sql("TERMINATE ALL; DROP TABLE people;")
    assert not engine.runtime.engine.queries
    assert "people" in KafkaTopics(servers).all()
