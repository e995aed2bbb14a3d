"""Amounts as DECIMAL: read, compared, summed and written to the last digit."""

from __future__ import annotations

import decimal
import json
from typing import Any

import pytest

from streamguard_ksql.errors import KsqlError
from streamguard_ksql.local import LocalEngine
from streamguard_ksql.operators.record import InputRecord
from streamguard_ksql.testing.cases import Case, load
from streamguard_ksql.testing.harness import Harness
from streamguard_ksql.testing.run import input_record
from tests.support.recordings import RECORDINGS, recording

STREAM = "CREATE STREAM t (k STRING KEY, a DECIMAL(19, 4), s STRING) WITH (kafka_topic='in', value_format='JSON');"
RECORDED = [
    case
    for case in load(RECORDINGS / "queries.json")
    if "DECIMAL" in " ".join(case.statements) and case.outputs and case.name not in recording("queries.failing.json")
]


def decimals(row: dict[str, Any] | None, names: set[str]) -> dict[str, str]:
    """The decimal columns of a row as they are written."""
    found = {name: (row or {}).get(name) for name in names}
    return {n: f"{v:f}" if isinstance(v, decimal.Decimal) else str(v) for n, v in found.items() if v is not None}


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case.name)
def test_recorded_decimals_have_their_digits(case: Case) -> None:
    harness = Harness(dict(case.properties))
    harness.run_script("\n".join(case.statements))
    for entry in case.inputs:
        harness.feed(input_record(harness, entry))
    harness.settle()
    sources = {s.topic: s for s in harness.engine.catalog.sources.values() if s.value_format.name == "JSON"}
    for topic, source in sources.items():
        names = {c.name for c in source.schema.value if c.type.base == "DECIMAL"}
        expected = [entry["value"] for entry in case.outputs or () if entry["topic"] == topic]
        written = [
            None if r.value is None else json.loads(r.value, parse_float=decimal.Decimal)
            for r in harness.written
            if r.topic == topic
        ]
        assert [decimals(row, names) for row in written] == [decimals(row, names) for row in expected]


class Box:
    """A stream of amounts, and what a query over it writes to `out`, as text."""

    def __init__(self, *statements: str) -> None:
        self.engine = LocalEngine(clock=lambda: 0)
        self.written: list[InputRecord] = []
        self.engine.listen("out", self.written.extend)
        self.engine.run(STREAM + "".join(statements))

    def feed(self, *values: str, key: bytes = b"k") -> list[str | None]:
        """Values as they are in the JSON text; what was written for them."""
        self.written.clear()
        self.engine.feed([InputRecord("in", 0, n, key, f'{{"a":{v}}}'.encode(), n) for n, v in enumerate(values)])
        return [None if r.value is None else r.value.decode() for r in self.written]

    def skipped(self) -> int:
        return sum(sum(query.skipped.values()) for query in self.engine.queries.values())


def selected(expression: str, value: str) -> str | None:
    """A column over one amount, as it is written; None for a row that is left out."""
    box = Box(f"CREATE STREAM out WITH (kafka_topic='out') AS SELECT k, {expression} AS x FROM t;")
    (written,) = box.feed(value) or [None]
    return None if written is None else written.removeprefix('{"X":').removesuffix("}")


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("3500", "3500.0000"),
        ("10.5", "10.5000"),
        ('"10.50"', "10.5000"),
        ("1e3", "1000.0000"),
        ("1E-4", "0.0001"),
        ("0.12340", "0.1234"),
        ("0.12345", None),
        ("999999999999999.9999", "999999999999999.9999"),
        ("1000000000000000", None),
        ("1e999999999", None),
        ("0.1000000000000000055511151231257827", None),
        ("-0.0", "0.0000"),
        ("null", "null"),
        ("true", None),
        ('"abc"', None),
        ('"1_0"', None),
        ('"NaN"', None),
        ("[1]", None),
    ],
)
def test_a_number_is_read_exactly_or_its_record_is_left_out(given: str, written: str | None) -> None:
    """Also the second time, when its text is known."""
    box = Box("CREATE STREAM out WITH (kafka_topic='out') AS SELECT k, a FROM t;")
    box.feed("1")  # from now on the names of the fields are known
    expected = [] if written is None else [f'{{"A":{written}}}'] * 2
    assert box.feed(given, given) == expected
    assert box.skipped() == 2 - len(expected)
    assert all(error.message.startswith("Error deserializing") for error in box.engine.errors)


@pytest.mark.parametrize(
    ("expression", "value", "written"),
    [
        ("a > 0 AND a < 1000000000000", "999999999999.9999", "true"),
        ("a > 0 AND a < 1000000000000", "1000000000000", "false"),
        ("a > 3000", "3000.0001", "true"),
        ("a > 3000", "3000", "false"),
        ("a = 0.1", "0.1", "true"),
        ("a >= 1e3", "1000", "true"),
        ("a BETWEEN 1 AND 2.5", "2.5", "true"),
        ("a IN (1, 2.50)", "2.5", "true"),
        ("a = ROUND(a, 2)", "1.25", "true"),
        ("a = ROUND(a, 2)", "1.255", "false"),
        ("ROUND(a, 2)", "1.005", "1.0100"),
        ("ROUND(a, 0)", "2.5", "3.0000"),
        ("ROUND(a)", "2.5", "3"),
        ("a = CASE WHEN a > 5 THEN ROUND(a, 0) WHEN a > 3 THEN ROUND(a, 3) ELSE ROUND(a, 2) END", "7.1", "false"),
        ("a + a", "0.1", "0.2000"),
        ("a * 3", "999999999999.9999", "2999999999999.9997"),
        ("10 * (a - 1)", "1.5", "5.0000"),
        ("a / 4", "1", "0.250000000000000"),
        ("a / 3", "1", "null"),
        ("CAST(a AS DOUBLE) / 3", "1", "0.3333333333333333"),
        ("-a", "999999999999999.9999", "-999999999999999.9999"),
        ("-a", "0", "0.0000"),
        ("ABS(a)", "-1.5", "1.5000"),
        ("-CAST(a AS DECIMAL(38, 4)) * 10000000000000000", "123456789.1234", "-1234567891234000000000000.0000"),
        ("GREATEST(a, 2.5)", "1", "2.5"),
        ("LEAST(a, 2.5)", "1", "1.0000"),
        ("CAST(a AS STRING)", "3500", '"3500.0000"'),
        ("CAST(a AS DECIMAL(38, 4))", "3500.5", "3500.5000"),
        ("CAST(a AS BIGINT)", "1.9", "1"),
        ("CONCAT('x', CAST(a AS VARCHAR))", "-0.0", '"x0.0000"'),
    ],
)
def test_an_amount_in_an_expression(expression: str, value: str, written: str) -> None:
    assert selected(expression, value) == written


TYPES = [
    ("a + 1", "DECIMAL(20, 4)"),
    ("a * 10", "DECIMAL(30, 4)"),
    ("10 * (a - 1)", "DECIMAL(31, 4)"),
    ("a / 7", "DECIMAL(30, 15)"),
    ("ROUND(a, 2)", "DECIMAL(19, 4)"),
    ("ROUND(a)", "DECIMAL(15, 0)"),
    ("CASE WHEN a > 1 THEN ROUND(a, 0) ELSE a END", "DECIMAL(19, 4)"),
    ("GREATEST(a, 2.5)", "DECIMAL(19, 4)"),
]


@pytest.mark.parametrize(("expression", "expected"), TYPES)
def test_the_type_of_an_expression(expression: str, expected: str) -> None:
    box = Box(f"CREATE STREAM out WITH (kafka_topic='out') AS SELECT k, {expression} AS x FROM t;")
    assert str(box.engine.engine.catalog.get("OUT").schema.value[0].type) == expected


def test_a_sum_has_the_type_of_its_values_and_ends_its_query_where_it_does_not_fit() -> None:
    box = Box(
        "CREATE TABLE out WITH (kafka_topic='out') AS SELECT k, SUM(a) AS s, LATEST_BY_OFFSET(a, 2) AS l FROM t GROUP BY k;"
    )
    assert box.feed("0.1", "0.2") == ['{"S":0.1000,"L":[0.1000]}', '{"S":0.3000,"L":[0.1000,0.2000]}']
    assert box.feed("999999999999999.5", "1") == ['{"S":999999999999999.8000,"L":[0.2000,999999999999999.5000]}']
    (query,) = box.engine.queries.values()
    assert query.failure is not None
    assert "SUM has reached 1000000000000000.8000, which does not fit DECIMAL(19, 4)" in query.failure
    assert box.feed("1") == []


def test_a_sum_of_a_wider_type_does_not_overflow() -> None:
    box = Box(
        "CREATE TABLE out WITH (kafka_topic='out') AS SELECT k, SUM(CAST(a AS DECIMAL(38, 4))) AS s FROM t GROUP BY k;"
    )
    assert box.feed("999999999999999.5", "1")[1] == '{"S":1000000000000000.5000}'


def test_a_sum_goes_back_to_the_narrower_type_of_its_sink() -> None:
    box = Box(
        "CREATE STREAM out (k STRING KEY, x DECIMAL(19, 4)) WITH (kafka_topic='out', value_format='JSON');"
        "CREATE TABLE s WITH (kafka_topic='s') AS SELECT k, SUM(CAST(a AS DECIMAL(38, 4))) AS x FROM t GROUP BY k;"
        "CREATE STREAM c (k STRING KEY, x DECIMAL(38, 4)) WITH (kafka_topic='s', value_format='JSON');"
        "INSERT INTO out SELECT k, CAST(x AS DECIMAL(19, 4)) AS x FROM c;"
    )
    assert box.feed("999999999999999.5", "1") == ['{"X":999999999999999.5000}', '{"X":null}']


@pytest.mark.parametrize(
    ("sink", "fits"), [("(19, 4)", True), ("(38, 4)", False), ("(25, 6)", False), ("(10, 4)", False)]
)
def test_an_amount_goes_into_a_sink_of_its_own_type_alone(sink: str, fits: bool) -> None:
    out = f"CREATE STREAM out (k STRING KEY, a DECIMAL{sink}) WITH (kafka_topic='out', value_format='JSON');"
    insert = "INSERT INTO out SELECT k, a FROM t;"
    if fits:
        places = int(sink[-2])
        assert Box(out, insert).feed("12.5") == [f'{{"A":12.5{"0" * (places - 1)}}}']
        return
    with pytest.raises(KsqlError, match="DECIMAL"):
        Box(out, insert)


def test_amounts_beside_numbers_in_texts_are_read_as_they_are_written() -> None:
    box = Box("CREATE STREAM out WITH (kafka_topic='out') AS SELECT k, a, s FROM t;")
    box.engine.feed([InputRecord("in", 0, 0, b"k", b'{"a":1.50,"s":1.10}', 0)])
    assert [r.value for r in box.written] == [b'{"A":1.5000,"S":"1.10"}']
