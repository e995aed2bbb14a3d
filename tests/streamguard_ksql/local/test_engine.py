"""A local engine: what it is given, in which order, and what it says of what it leaves out."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from streamguard_ksql.errors import KsqlError
from streamguard_ksql.hashing import partition_for
from streamguard_ksql.local import LocalEngine
from streamguard_ksql.operators.record import InputRecord, Record

STREAM = "CREATE STREAM t (k STRING KEY, v INT) WITH (kafka_topic='in', value_format='JSON');"
COPY = "CREATE STREAM out WITH (kafka_topic='out') AS SELECT k, v FROM t WHERE v > 0;"


class Box:
    """An engine, and what was written to `out`."""

    def __init__(self, sql: str, partitions: int = 1, **settings: Any) -> None:
        self.engine = LocalEngine(partitions, **settings)
        self.written: list[InputRecord] = []
        self.engine.listen("out", self.written.extend)
        self.engine.run(sql)

    def feed(self, *values: Any, topic: str = "in", key: bytes = b"k", partition: int = 0, times: Any = None) -> None:
        records = []
        for n, value in enumerate(values):
            data = value if isinstance(value, bytes) else orjson.dumps(value)
            records.append(InputRecord(topic, partition, n, key, data, n if times is None else times[n]))
        self.engine.feed(records)

    def values(self) -> list[Any]:
        return [None if r.value is None else orjson.loads(r.value) for r in self.written]


def test_results_have_partitions_and_offsets_of_their_topic() -> None:
    box = Box(STREAM + COPY, partitions=3)
    for key in (b"a", b"b", b"a"):
        box.feed({"V": 1}, key=key)
    assert [(r.topic, r.partition, r.offset, r.key) for r in box.written] == [
        ("out", partition_for(b"a", 3), 0, b"a"),
        ("out", partition_for(b"b", 3), 0, b"b"),
        ("out", partition_for(b"a", 3), 1, b"a"),
    ]


def test_variables_and_settings_of_a_text_are_filled_in() -> None:
    box = Box("DEFINE least = '2'; SET 'a' = 'b';" + STREAM + COPY.replace("> 0", "> ${least}"))
    box.feed({"V": 2}, {"V": 3})
    assert box.values() == [{"V": 3}]
    assert box.engine.queries["CSAS_OUT_0"].query.config["a"] == "b"


def test_the_clock_is_the_one_that_is_given() -> None:
    now = [100]
    box = Box(STREAM + COPY.replace("k, v FROM", "k, UNIX_TIMESTAMP() AS now FROM"), clock=lambda: now[0])
    box.feed({"V": 2})
    now[0] = 200
    box.feed({"V": 2})
    assert box.values() == [{"NOW": 100}, {"NOW": 200}]


def test_a_query_may_read_what_a_later_statement_writes() -> None:
    box = Box(
        STREAM
        + COPY
        + "CREATE STREAM raw (k STRING KEY, v INT) WITH (kafka_topic='raw', value_format='JSON');"
        + "INSERT INTO t SELECT k, v * 2 AS v FROM raw;"
    )
    box.feed({"V": 2}, topic="raw")
    assert box.values() == [{"V": 4}]


def test_queries_that_read_each_other_run_until_nothing_is_left() -> None:
    box = Box(
        STREAM
        + "CREATE STREAM out (k STRING KEY, v INT) WITH (kafka_topic='out', value_format='JSON');"
        + "INSERT INTO out SELECT k, v FROM t;"
        + "INSERT INTO t SELECT k, v - 1 AS v FROM out WHERE v > 1;"
    )
    box.feed({"V": 3})
    assert box.values() == [{"V": 3}, {"V": 2}, {"V": 1}]


def test_what_several_queries_write_to_a_topic_is_read_in_the_order_of_time() -> None:
    box = Box(
        "CREATE STREAM a (k STRING KEY, v INT) WITH (kafka_topic='a', value_format='JSON');"
        "CREATE STREAM b (k STRING KEY, v INT) WITH (kafka_topic='b', value_format='JSON');"
        + STREAM
        + "INSERT INTO t SELECT * FROM a; INSERT INTO t SELECT * FROM b;"
        + "CREATE TABLE out WITH (kafka_topic='out') AS SELECT k, COLLECT_LIST(v) AS l FROM t GROUP BY k;"
    )
    records = []
    for n in range(4):
        records.append(InputRecord("ab"[n % 2], 0, n // 2, b"k", orjson.dumps({"V": n}), n))
    box.engine.feed(records)
    assert box.values()[-1] == {"L": [0, 1, 2, 3]}


def test_streams_over_one_topic_joined_meet_their_rows_in_order() -> None:
    """However many come at once: a row that is taken long after its partner would be too late for it."""
    box = Box(
        STREAM
        + STREAM.replace("STREAM t", "STREAM again")
        + "CREATE STREAM out WITH (kafka_topic='out') AS SELECT a.k, a.v AS v, b.v AS w FROM t a "
        "JOIN again b WITHIN 1 SECOND GRACE PERIOD 0 SECONDS ON a.k = b.k WHERE a.v < b.v;"
    )
    box.feed(*({"V": n} for n in range(200)), times=[900 * n for n in range(200)])
    assert len(box.written) == 199


def test_final_windows_of_a_batch_beyond_their_retention_are_all_written() -> None:
    box = Box(
        STREAM + "CREATE TABLE out WITH (kafka_topic='out') AS SELECT k, COUNT(*) AS n FROM t "
        "WINDOW TUMBLING (SIZE 1 SECOND, GRACE PERIOD 0 SECONDS) GROUP BY k EMIT FINAL;"
    )
    box.feed(*({"V": n} for n in range(100)), times=[500 * n for n in range(100)])
    assert box.values() == [{"N": 2}] * 49


def test_rows_of_insert_values_come_before_what_is_fed() -> None:
    box = Box(
        "CREATE TABLE l (k STRING PRIMARY KEY, least INT) WITH (kafka_topic='l', value_format='JSON');"
        "INSERT INTO l (k, least) VALUES ('k', 5);" + STREAM + "CREATE STREAM out WITH (kafka_topic='out') AS "
        "SELECT t.k, v FROM t JOIN l ON t.k = l.k WHERE v > least;",
        clock=lambda: 0,
    )
    box.feed({"V": 5}, {"V": 6})
    assert box.values() == [{"V": 6}]


def test_tables_that_share_a_condition_have_the_rows_of_every_partition() -> None:
    """The first of them reads a partition at a time, and what it has read is what the second is given."""
    table = (
        "CREATE TABLE {} WITH (kafka_topic='{}') AS SELECT k, SUM(v) AS n FROM t WHERE v > 0 AND v < 100 GROUP BY k;"
    )
    box = Box(STREAM + table.format("out", "out") + table.format("b", "b"), partitions=3)
    others: list[InputRecord] = []
    box.engine.listen("b", others.extend)
    box.engine.feed([InputRecord("in", n % 3, n, b"k%d" % (n % 3), orjson.dumps({"V": n}), n) for n in range(9)])
    assert [query.failure for query in box.engine.queries.values()] == [None, None]
    assert [v["N"] for v in box.values()] == [1, 2, 3, 5, 7, 9, 12, 15]
    assert [r.value for r in others] == [r.value for r in box.written]


@pytest.mark.parametrize("bad", [b"{", {"V": 0}, {"V": None}, {"V": 1, "SEEN": None}, {"V": 1, "SEEN": -1}, None])
def test_tables_that_share_their_rows_report_each_what_is_none(bad: Any) -> None:
    """Alone in its batch or among others, a record that makes no row is left out by every query, and by none twice."""
    stream = "CREATE STREAM t (k STRING KEY, v INT, seen BIGINT) WITH (kafka_topic='in', value_format='JSON', timestamp='seen');"
    table = "CREATE TABLE {} WITH (kafka_topic='{}') AS SELECT k, SUM(v) AS n FROM t WHERE 10 / v > 0 AND v < 100 GROUP BY k;"
    good = [{"V": 1, "SEEN": 5}, {"V": 2, "SEEN": 6}]
    found = []
    for batches in ([[good[0], bad, good[1]]], [[good[0]], [bad], [good[1]]]):
        box = Box(stream + table.format("out", "out") + table.format("b", "b"))
        for batch in batches:
            box.feed(*(b"null" if value is None else value for value in batch))
        assert [v["N"] for v in box.values()] == [1, 3]
        first, second = ((dict(query.skipped), query.errors) for query in box.engine.queries.values())
        assert first == second
        found.append(first)
    assert found[0] == found[1]


def test_what_is_exchanged_is_read_in_the_place_of_what_was_written() -> None:
    middle = "CREATE STREAM m WITH (kafka_topic='m') AS SELECT k, v FROM t WHERE v > 0; "
    box = Box(STREAM + middle + COPY.replace("FROM t", "FROM m"))
    given: list[list[int]] = []

    def exchange(topic: str, rows: list[Record]) -> list[Record]:
        given.append([row.value[0] for row in rows if row.value is not None])
        return [*rows, Record((f"of another for {topic}",), [7], 9)]

    box.engine.exchange(["m"], exchange)
    assert box.engine.hands_over("m")
    record = InputRecord("in", 0, 0, b"k", b'{"V": 1}', 1)
    box.engine.feed([record], more=True)
    assert (given, box.written) == ([], [])
    box.engine.feed([record])
    assert given == [[1, 1]]
    box.engine.feed()
    assert given == [[1, 1], []]
    assert [(r.key, r.time) for r in box.written] == [(b"k", 1), (b"k", 1), *[(b"of another for m", 9)] * 2]


# --- what is left out -------------------------------------------------------------------------------------------------


def test_what_a_query_leaves_out_is_counted_by_reason() -> None:
    box = Box(STREAM + COPY)
    box.feed(b"{", {"V": 1}, b"[")
    (query,) = box.engine.queries.values()
    assert (query.consumed, query.produced, query.errors) == (3, 1, 2)
    assert dict(query.skipped) == {"deserialization": 2}
    assert [error.record for error in box.engine.errors] == [b"{", b"["]


def test_a_query_that_ends_says_why_and_the_others_go_on() -> None:
    overflow = "CREATE TABLE s AS SELECT k, SUM(CAST(v AS DECIMAL(2, 0))) AS s FROM t GROUP BY k;"
    box = Box(STREAM + overflow + COPY)
    box.feed({"V": 60}, {"V": 60}, {"V": 1})
    ended, running = box.engine.queries.values()
    assert ended.failure is not None
    assert "Numeric field overflow" in ended.failure
    assert ended.produced == 1
    assert (running.failure, len(box.written)) == (None, 3)
    box.feed({"V": 1})
    assert len(box.written) == 4


def test_a_query_that_ends_in_one_partition_keeps_what_it_made_of_the_others() -> None:
    sum_of = (
        "CREATE TABLE out WITH (kafka_topic='out') AS SELECT k, SUM(CAST(v AS DECIMAL(2, 0))) AS s FROM t GROUP BY k;"
    )
    box = Box(STREAM + sum_of, partitions=3)
    given = [(0, b"a", 1), (1, b"b", 60), (1, b"b", 60), (2, b"c", 1)]
    box.engine.feed([InputRecord("in", p, n, key, orjson.dumps({"V": v}), n) for n, (p, key, v) in enumerate(given)])
    assert box.values() == [{"S": 1}, {"S": 60}]


def test_records_that_nobody_reads_are_counted() -> None:
    box = Box(STREAM + COPY)
    box.feed({"V": 1}, {"V": 1}, topic="elsewhere")
    assert dict(box.engine.unread) == {"elsewhere": 2}


def test_a_partition_that_the_topic_does_not_have_is_refused() -> None:
    box = Box(STREAM + COPY, partitions=2)
    with pytest.raises(KsqlError, match="A record of partition 2 was fed, but topic 'in' has 2"):
        box.feed({"V": 1}, partition=2)


def test_a_query_that_comes_too_late_for_its_topic_is_refused() -> None:
    box = Box("SET 'auto.offset.reset' = 'earliest';" + STREAM)
    box.feed({"V": 1})
    with pytest.raises(KsqlError, match="Query CSAS_OUT_0 has to read topic 'in' from its beginning"):
        box.engine.run(COPY)
    box.engine.run("SET 'auto.offset.reset' = 'latest';" + COPY)
    box.feed({"V": 2})
    assert box.values() == [{"V": 2}]


def test_a_query_that_is_replaced_keeps_its_state() -> None:
    count = "CREATE OR REPLACE TABLE out WITH (kafka_topic='out') AS SELECT k, COUNT(*) AS n FROM t GROUP BY k;"
    box = Box(STREAM + count)
    box.feed({"V": 1})
    box.engine.run(count.replace("AS n", "AS n, 'x' AS x"))
    box.feed({"V": 1})
    assert box.values() == [{"N": 1}, {"N": 2, "X": "x"}]


@pytest.mark.parametrize("window", ["", "WINDOW TUMBLING (SIZE 1 HOUR)"])
def test_a_group_that_leaves_having_after_its_query_was_replaced_becomes_a_tombstone(window: str) -> None:
    latest = f"""CREATE OR REPLACE TABLE out WITH (kafka_topic='out') AS SELECT k, LATEST_BY_OFFSET(v) AS v
        FROM t {window} GROUP BY k HAVING LATEST_BY_OFFSET(v) > 5;"""
    box = Box(STREAM + latest)
    box.feed({"V": 6})
    box.engine.run(latest.replace("AS v", "AS v, 'x' AS x", 1))
    box.feed({"V": 1}, {"V": 2}, {"V": 7})
    assert box.values() == [{"V": 6}, None, {"V": 7, "X": "x"}]


def test_queries_whose_results_reach_nobody_do_not_run_where_that_is_asked_for() -> None:
    middle = "CREATE STREAM m WITH (kafka_topic='m') AS SELECT k, v FROM t; "
    others = "CREATE STREAM x AS SELECT k, v FROM t; CREATE TABLE y AS SELECT k, COUNT(*) AS n FROM x GROUP BY k;"
    sql = STREAM + others + middle + COPY.replace("FROM t", "FROM m")
    box = Box(sql, only_listened=True)
    box.feed({"V": 1})
    assert {query_id: query.consumed for query_id, query in box.engine.queries.items()} == {
        "CSAS_X_0": 0,
        "CTAS_Y_1": 0,
        "CSAS_M_2": 1,
        "CSAS_OUT_3": 1,
    }
    assert box.values() == [{"V": 1}]
    late: list[InputRecord] = []
    box.engine.listen("X", late.extend)
    box.feed({"V": 2})
    assert [orjson.loads(r.value or b"") for r in late] == [{"V": 2}]


def test_an_inner_join_counts_the_keys_that_are_null_and_reports_those_that_fail() -> None:
    box = Box(
        STREAM + "CREATE TABLE l (k INT PRIMARY KEY, w INT) WITH (kafka_topic='l', value_format='JSON');"
        "INSERT INTO l (k, w) VALUES (5, 1); CREATE STREAM out WITH (kafka_topic='out') AS "
        "SELECT l.k, v, w FROM t JOIN l ON 10 / v = l.k;",
        clock=lambda: 0,
    )
    box.feed({"V": 2}, {"V": 3}, {"V": 0}, {}, times=[1, 2, 3, 4])
    (query,) = box.engine.queries.values()
    assert box.values() == [{"V": 2, "W": 1}]
    assert dict(query.skipped) == {"null-key": 2}
    assert [error.message for error in box.engine.errors] == ["/ by zero"]


def test_a_query_that_is_terminated_reads_no_more() -> None:
    box = Box(STREAM + COPY)
    box.engine.run("TERMINATE CSAS_OUT_0;")
    box.feed({"V": 1})
    assert box.written == []
    assert dict(box.engine.unread) == {"in": 1}


def test_memory_is_that_of_the_state() -> None:
    """Nothing is kept of windows that have closed, nor of what was written."""
    box = Box(
        STREAM + "CREATE TABLE w AS SELECT k, COUNT(*) AS n FROM t "
        "WINDOW TUMBLING (SIZE 1 SECOND, GRACE PERIOD 0 SECONDS) GROUP BY k;"
    )
    (query,) = box.engine.queries.values()
    for n in range(50):
        box.feed({"V": 1}, times=[10_000 * n])
    stores = query.stores.by_name
    assert len(stores["Aggregate"]) == 1
    assert list(query.stores.changes()) == []
