"""Functions and operators that generated code has in place of calls: their borders, and within each other."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from streamguard_ksql.local import LocalEngine
from streamguard_ksql.operators.record import InputRecord

STREAM = (
    "CREATE STREAM t (k STRING KEY, i INT, l BIGINT, s STRING, a ARRAY<INT>, x ARRAY<ARRAY<INT>>)"
    " WITH (kafka_topic='in', value_format='JSON');"
)
BIG = 2**63 - 1


def values(expression: str, *rows: dict[str, Any]) -> list[Any]:
    """The column over each row."""
    engine = LocalEngine(clock=lambda: 0)
    written: list[InputRecord] = []
    engine.listen("out", written.extend)
    engine.run(f"{STREAM}CREATE STREAM out WITH (kafka_topic='out') AS SELECT k, {expression} AS x FROM t;")
    engine.feed([InputRecord("in", 0, n, b"k", orjson.dumps(row), n) for n, row in enumerate(rows)])
    return [orjson.loads(r.value or b"")["X"] for r in written]


@pytest.mark.parametrize(
    ("expression", "row", "expected"),
    [
        ("i + 1", {"i": 2**31 - 1}, -(2**31)),
        ("i - 1", {"i": -(2**31)}, 2**31 - 1),
        ("l + i", {"l": BIG, "i": 1}, -BIG - 1),
        ("l - i", {"l": -BIG - 1, "i": 1}, BIG),
        ("l + i", {"l": 1}, None),
        ("l - i - i", {"l": 5, "i": 2}, 1),
        ("i % 4", {"i": -7}, -3),
        ("(i + 1) % 4", {"i": -7}, -2),
        ("l % 4", {"l": -BIG - 1}, 0),
        ("i % 4", {}, None),
        ("a[1]", {"a": [5, 6]}, 5),
        ("a[2]", {"a": [5, 6]}, 6),
        ("a[3]", {"a": [5, 6]}, None),
        ("a[-1]", {"a": [5, 6]}, 6),
        ("a[-2]", {"a": [5, 6]}, 5),
        ("a[-3]", {"a": [5, 6]}, None),
        ("a[0]", {"a": [5, 6]}, None),
        ("a[-1]", {"a": []}, None),
        ("a[-1]", {}, None),
        ("a[i]", {"a": [5, 6], "i": 2}, 6),
        ("x[-1][1]", {"x": [[1], [2, 3]]}, 2),
        ("FILTER(a, e => e > a[-1] - 2)", {"a": [1, 5, 3, 4]}, [5, 3, 4]),
        ("FILTER(a, e => e > 1)", {"a": [1, None, 2]}, [2]),
        ("FILTER(a, e => e + 1 > 1)", {"a": [1, None, 2]}, None),
        ("FILTER(a, e => CASE WHEN e > 1 THEN true END)", {"a": [2, 1]}, None),
        ("FILTER(a, e => e > 1)", {}, None),
        ("FILTER(ARRAY[LEN(s), i + 1, 9], e => e + 1 > 4)", {"s": "abc", "i": 1}, [9]),
        ("TRANSFORM(FILTER(a, e => e > 1), e => e + 1)", {"a": [1, 2, 3]}, [3, 4]),
        ("TRANSFORM(x, y => ARRAY_LENGTH(FILTER(y, e => e >= y[-1])))", {"x": [[1, 2], [3, 3], []]}, [1, 2, 0]),
        ("REDUCE(x, 0, (n, y) => n + ARRAY_LENGTH(FILTER(y, e => e > n)))", {"x": [[1, 2], [3, 1]]}, 3),
        ("ARRAY_LENGTH(FILTER(GENERATE_SERIES(1, ARRAY_LENGTH(a) - 1), e => a[e] >= a[-1] - 1))", {"a": [1, 4, 5]}, 1),
        ("UCASE(s)", {"s": "straße"}, "STRASSE"),
        ("UCASE(s)", {}, None),
        ("INSTR('BIF CLP', UCASE(s))", {"s": "clp"}, 5),
        ("INSTR('BIF CLP', s)", {}, 0),
        ("INSTR('', s)", {"s": ""}, 0),
        ("INSTR('abc', s)", {"s": ""}, 1),
    ],
)
def test_a_value(expression: str, row: dict[str, Any], expected: Any) -> None:
    assert values(expression, row) == [expected]


def test_more_texts_than_are_remembered_are_found() -> None:
    text = " ".join(f"{n:04d}" for n in range(3_000))
    searched = [{"s": f"{n:04d}"} for n in range(0, 6_000, 2)]
    assert values(f"INSTR('{text}', s)", *searched, *searched) == [text.find(row["s"]) + 1 for row in searched] * 2
