"""Random small queries over random records, against a reading of the manual that shares nothing with the engine."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard_ksql.testing.harness import Harness
from streamguard_ksql.testing.run import input_record
from tests.streamguard_ksql.differential import queries
from tests.streamguard_ksql.differential.queries import AGGREGATES, Input, Result, Window
from tests.streamguard_ksql.differential.test_expressions import LOOSE

KEYS = st.sampled_from(["x", "x", "y", None])
NUMBERS = st.none() | st.sampled_from([0, 1, 2, 3, -1, 2**31 - 1])
TEXTS = st.none() | st.sampled_from(["", "a", "b", "é"])
VALUES = st.fixed_dictionaries({"A": NUMBERS, "T": TEXTS})
TIMES = st.sampled_from([0, 1, 999, 1000, 1500, 2000, 2999, 3000, 5000, 10_000, 86_400_000, 86_405_000])
SIZES = st.sampled_from([1000, 2000, 3000])
OPTIONAL = st.none() | st.sampled_from([0, 1000, 2500])


def _records(topics: Sequence[str], values: st.SearchStrategy[Any] = VALUES) -> st.SearchStrategy[list[Input]]:
    return st.lists(st.builds(Input, st.sampled_from(topics), KEYS, values, TIMES), max_size=9)


def _source(kind: str, name: str) -> str:
    key = "PRIMARY KEY" if kind == "TABLE" else "KEY"
    topic = f"KAFKA_TOPIC='{name}', VALUE_FORMAT='JSON', PARTITIONS=1"
    return f"CREATE {kind} {name} (id VARCHAR {key}, a INT, t VARCHAR) WITH ({topic});"


def run(statements: Sequence[str], records: Sequence[Input], window: int = 0) -> list[Result]:
    """What the last statement's query writes; `window` is how many times are behind the key."""
    harness = Harness({"auto.offset.reset": "earliest"})
    harness.run_script("\n".join(statements))
    for r in records:
        harness.feed(input_record(harness, {"topic": r.topic, "key": r.key, "value": r.value, "timestamp": r.time}))
    harness.settle()
    assert not harness.failures, harness.failures
    written = [r for r in harness.written if r.topic == "O"]
    return [(_key(r.key, window), None if r.value is None else json.loads(r.value)) for r in written]


def _key(data: bytes | None, window: int) -> Any:
    if data is None or not window:
        return None if data is None else data.decode()
    times = struct.unpack(f">{window}q", data[-8 * window :])
    return (data[: -8 * window].decode(), *reversed(times))


def by_key(results: Sequence[Result]) -> dict[Any, list[Any]]:
    """The values of each key in their order; between keys the manual says nothing."""
    found: dict[Any, list[Any]] = {}
    for key, value in results:
        of_key = found.setdefault(key, [])
        # Nor does it say whether what is not there is removed once more.
        if value is not None or (of_key and of_key[-1] is not None):
            of_key.append(value)
    return {key: values for key, values in found.items() if values}


@st.composite
def aggregations(draw: Any) -> tuple[str, list[Input], list[Result], int]:
    aggregate = draw(st.sampled_from(sorted(AGGREGATES)))
    window = Window()
    if draw(st.booleans()):
        size = draw(SIZES)
        window = Window(size, draw(st.sampled_from([size, 500, 1000])), draw(OPTIONAL))
    at_least = draw(st.sampled_from([1, 1, 2]))
    records = draw(_records("s"))
    is_final = window.grace is not None and at_least == 1 and draw(st.booleans())
    emit = "FINAL" if is_final else "CHANGES"
    having = f"HAVING COUNT(*) >= {at_least}" if at_least > 1 else ""
    by_text = draw(st.booleans())
    by = "t" if by_text else "id"
    sql = f"CREATE TABLE o AS SELECT {by}, {aggregate} AS c FROM s {window.sql} GROUP BY {by} {having} EMIT {emit};"
    key_of = (lambda r: (r.value or {})["T"]) if by_text else (lambda r: r.key)
    if is_final:
        grouped = queries.final(records, key_of, window, aggregate)
    else:
        grouped = queries.grouped(records, key_of, window, aggregate, at_least)
    width = 0 if window.size is None else 1
    return sql, records, [(key if width else key[0], value) for key, value in grouped], width


def check_aggregation(example: tuple[str, list[Input], list[Result], int]) -> None:
    sql, records, expected, width = example
    found = run([_source("STREAM", "s"), sql], records, width)
    assert by_key(found) == by_key(expected), sql


@st.composite
def others(draw: Any) -> tuple[list[str], list[Input], list[Result], int]:
    """Sessions, joins and filters of tables."""
    kind = draw(st.sampled_from(["SESSION", "STREAMS", "STREAM-TABLE", "TABLES", "FILTER"]))
    if kind == "SESSION":
        records, gap = draw(_records("s").filter(_within_a_day)), draw(SIZES)
        aggregate = draw(st.sampled_from(["COUNT(*)", "SUM(A)", "MAX(A)", "COLLECT_LIST(T)"]))
        sql = f"CREATE TABLE o AS SELECT id, {aggregate} AS c FROM s WINDOW SESSION ({gap} MILLISECONDS) GROUP BY id;"
        return [_source("STREAM", "s"), sql], records, queries.sessions(records, gap, aggregate), 2
    changes = st.none() | VALUES
    if kind == "FILTER":
        records, above = draw(_records("s", changes)), draw(st.sampled_from([0, 1]))
        sql = f"CREATE TABLE o AS SELECT id, a AS c FROM s WHERE a > {above};"
        return [_source("TABLE", "s"), sql], records, queries.table_filter(records, above), 0
    left = {"TABLES": "TABLE"}.get(kind, "STREAM")
    right = "STREAM" if kind == "STREAMS" else "TABLE"
    columns = "l.id AS id" if kind == "STREAMS" else "l.id"
    records = draw(_records("lr", VALUES if kind == "STREAMS" else changes))
    join, within, expected = "INNER", "", []
    if kind == "STREAMS":
        records, span = sorted(records, key=lambda r: r.time), draw(SIZES)
        within, expected = f"WITHIN {span} MILLISECONDS", queries.stream_stream(records, span)
    elif kind == "STREAM-TABLE":
        join = draw(st.sampled_from(["INNER", "LEFT"]))
        records = [r for r in records if r.topic == "r" or r.value is not None]
        expected = queries.stream_table(records, left=join == "LEFT")
    else:
        join = draw(st.sampled_from(["INNER", "LEFT", "FULL OUTER"]))
        expected = queries.table_table(records, join)
        columns = "ROWKEY AS id" if join == "FULL OUTER" else columns
    sql = f"CREATE {left} o AS SELECT {columns}, l.a AS x, r.a AS y FROM l {join} JOIN r {within} ON l.id = r.id;"
    return [_source(left, "l"), _source(right, "r"), sql], records, expected, 0


def _within_a_day(records: Sequence[Input]) -> bool:
    return all(r.time < 86_000_000 for r in records)


def check_other(example: tuple[list[str], list[Input], list[Result], int]) -> None:
    statements, records, expected, width = example
    assert by_key(run(statements, records, width)) == by_key(expected), statements[-1]


@settings(LOOSE, max_examples=250, derandomize=True)
@given(aggregations())
def test_aggregations(example: tuple[str, list[Input], list[Result], int]) -> None:
    check_aggregation(example)


@settings(LOOSE, max_examples=250, derandomize=True)
@given(others())
def test_sessions_joins_and_filters(example: tuple[list[str], list[Input], list[Result], int]) -> None:
    check_other(example)


@pytest.mark.soak
@settings(LOOSE, max_examples=5_000)
@given(aggregations())
def test_many_aggregations(example: tuple[str, list[Input], list[Result], int]) -> None:
    check_aggregation(example)


@pytest.mark.soak
@settings(LOOSE, max_examples=5_000)
@given(others())
def test_many_sessions_joins_and_filters(example: tuple[list[str], list[Input], list[Result], int]) -> None:
    check_other(example)
