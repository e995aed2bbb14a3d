"""Values as JSON: whatever is in a row, its text is JSON again, and says the same."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard_ksql import types
from streamguard_ksql.parser import parse_type
from streamguard_ksql.schema import Column
from streamguard_ksql.server.formats import DELIMITED, JSON, V1_JSON, Result, choose
from streamguard_ksql.server.rows import row_text, value_text

CASES: list[tuple[str, Any, str]] = [
    ("DOUBLE", 1e10, "1.0E10"),
    ("DOUBLE", 0.001, "0.001"),
    ("DOUBLE", float("nan"), '"NaN"'),
    ("DECIMAL(10, 2)", Decimal("12.50"), "12.50"),
    ("BIGINT", -(2**63), "-9223372036854775808"),
    ("BYTES", b"\x01\x02", '"AQI="'),
    ("DATE", 18262, '"2020-01-01"'),
    ("TIME", 36_900_000, '"10:15"'),
    ("TIMESTAMP", 0, '"1970-01-01T00:00:00.000"'),
    ("ARRAY<DATE>", [0, None], '["1970-01-01",null]'),
    ("MAP<STRING, TIME>", {"a": 0}, '{"a":"00:00"}'),
    ("STRUCT<A DATE, B ARRAY<DECIMAL(3, 1)>>", {"A": 0, "B": [Decimal("1.0")]}, '{"A":"1970-01-01","B":[1.0]}'),
    ("STRUCT<A INT>", {}, '{"A":null}'),
]


@pytest.mark.parametrize(("sql_type", "value", "text"), CASES, ids=[f"{t} {v}" for t, v, _ in CASES])
def test_values(sql_type: str, value: Any, text: str) -> None:
    write = value_text(parse_type(sql_type))
    assert write(value) == text
    assert write(None) == "null"


VALUES: list[tuple[types.SqlType, st.SearchStrategy[Any]]] = [
    (types.STRING, st.text()),
    (types.BIGINT, st.integers(-(2**63), 2**63 - 1)),
    (types.DOUBLE, st.floats(allow_nan=False, allow_infinity=False)),
    (types.BOOLEAN, st.booleans()),
    (types.Array(types.STRING), st.lists(st.none() | st.text())),
    (types.Map(types.STRING, types.BIGINT), st.dictionaries(st.text(), st.none() | st.integers(0, 9))),
]


@given(st.data())
def test_a_row_is_json_that_says_the_same(data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(VALUES), min_size=1, max_size=4))
    row = [data.draw(st.none() | strategy) for _, strategy in chosen]
    columns = [Column(f"C{i}", sql_type) for i, (sql_type, _) in enumerate(chosen)]
    assert json.loads(row_text(columns)(row)) == row


@given(st.binary())
def test_bytes_come_back(data: bytes) -> None:
    assert base64.b64decode(json.loads(value_text(types.BYTES)(data))) == data


WRITERS = [
    ("/query", V1_JSON, "1.1", V1_JSON),
    ("/query", "*/*", "1.1", V1_JSON),
    ("/query", JSON, "1.1", V1_JSON),
    ("/query", f"{DELIMITED}; q=1, */*", "1.1", DELIMITED),
    ("/query", "*/*", "2", DELIMITED),
    ("/query-stream", "", "1.1", DELIMITED),
    ("/query-stream", JSON, "2", JSON),
    ("/query-stream", V1_JSON, "1.1", V1_JSON),
]


@pytest.mark.parametrize(("path", "accept", "version", "content_type"), WRITERS)
def test_which_form_an_answer_has(path: str, accept: str, version: str, content_type: str) -> None:
    assert choose(path, accept, version).content_type == content_type


@pytest.mark.parametrize("is_push", [True, False])
@given(rows=st.lists(st.none() | st.tuples(st.text()), max_size=5), ends=st.sampled_from(["end", "failed"]))
def test_every_form_is_whole_json(is_push: bool, rows: list[Any], ends: str) -> None:
    """However many rows there are, tombstones among them, and however the query ends."""
    result = Result("q", [Column("A", types.STRING)], ["A"], is_push)
    for path, accept in (("/query", V1_JSON), ("/query-stream", JSON)):
        writer = choose(path, accept, "1.1")(result)
        end = writer.end("Limit Reached") if ends == "end" else writer.failed("it broke")
        entries = json.loads(writer.head() + writer.rows(rows) + end)
        given_rows = [
            e if isinstance(e, list) else e["row"]["columns"] for e in entries if "row" in e or isinstance(e, list)
        ]
        assert given_rows == [list(row) for row in rows if row is not None]
        assert ("it broke" in json.dumps(entries[-1])) == (ends == "failed") or "it broke" in str(rows)
    delimited = choose("/query-stream", DELIMITED, "2")(result)
    lines = (delimited.head() + delimited.rows(rows)).strip("\n").split("\n")
    assert [json.loads(line) for line in lines[1:]] == [list(row) for row in rows if row is not None]
