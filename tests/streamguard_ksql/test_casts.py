"""What the engine converts by itself, and constants; explicit casts are in functions/cases/casts.json."""

from __future__ import annotations

from decimal import Decimal as Number
from typing import Any

import pytest

from streamguard_ksql.casts import can_coerce, cast_function, coerce_literal, implicit_cast
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.types import (
    BIGINT,
    BOOLEAN,
    BYTES,
    DATE,
    DOUBLE,
    INTEGER,
    STRING,
    TIME,
    TIMESTAMP,
    Array,
    Decimal,
    Map,
    SqlType,
    Struct,
)

WIDENED: list[tuple[SqlType, SqlType, Any, Any]] = [
    (INTEGER, BIGINT, 1, 1),
    (INTEGER, DOUBLE, 1, 1.0),
    (BIGINT, Decimal(19, 0), 7, Number(7)),
    (INTEGER, Decimal(12, 2), 7, Number("7.00")),
    (Decimal(4, 2), Decimal(6, 3), Number("1.50"), Number("1.500")),
    (Decimal(4, 2), DOUBLE, Number("1.50"), 1.5),
    (STRING, DATE, "1970-01-02", 1),
    (STRING, TIME, "00:01", 60000),
    (STRING, TIMESTAMP, "1970", 0),
    (Array(INTEGER), Array(DOUBLE), [1, None], [1.0, None]),
    (Map(STRING, INTEGER), Map(STRING, DOUBLE), {"a": 1}, {"a": 1.0}),
    (Struct((("A", INTEGER),)), Struct((("A", DOUBLE), ("B", STRING))), {"A": 1}, {"A": 1.0, "B": None}),
]


@pytest.mark.parametrize(("source", "target", "value", "expected"), WIDENED)
def test_what_is_converted_by_itself(source: SqlType, target: SqlType, value: Any, expected: Any) -> None:
    convert = implicit_cast(source, target)
    found = convert(value) if convert else value
    assert found == expected and str(found) == str(expected)
    assert convert is None or convert(None) is None


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (BIGINT, INTEGER),
        (DOUBLE, Decimal(4, 2)),
        (Decimal(4, 2), Decimal(4, 1)),
        (Decimal(4, 2), Decimal(4, 3)),
        (STRING, INTEGER),
        (INTEGER, STRING),
        (DATE, TIMESTAMP),
        (Array(STRING), Array(INTEGER)),
        (BOOLEAN, INTEGER),
        (BYTES, STRING),
    ],
)
def test_what_is_not(source: SqlType, target: SqlType) -> None:
    assert not can_coerce(source, target)


def test_the_same_type_needs_nothing() -> None:
    assert implicit_cast(STRING, STRING) is None and implicit_cast(None, STRING) is None
    assert cast_function(Array(INTEGER), Array(INTEGER)) is None
    assert cast_function(None, INTEGER) is None


def test_null_as_text_if_so_set() -> None:
    cast = cast_function(INTEGER, STRING, {"ksql.cast.strings.preserve.nulls": "false"})
    assert cast is not None and cast(None) == "null" and cast(1) == "1"


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        ("4.000", STRING, BIGINT, 4),
        ("3e2", STRING, INTEGER, 300),
        ("1.005", STRING, Decimal(3, 2), Number("1.01")),
        ("fal", STRING, BOOLEAN, False),
        ("Y", STRING, BOOLEAN, True),
        (10, INTEGER, STRING, "10"),
        (1.5, DOUBLE, STRING, "1.5"),
        (True, BOOLEAN, STRING, "true"),
        (None, None, INTEGER, None),
        (3, INTEGER, DOUBLE, 3.0),
    ],
)
def test_constants(value: Any, source: SqlType | None, target: SqlType, expected: Any) -> None:
    found = coerce_literal(value, source, target)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "target"), [("10 - not a number", INTEGER), ("1.5", BIGINT), ("maybe", BOOLEAN), ("1e9", Decimal(4, 2))]
)
def test_constants_that_do_not_read(text: str, target: SqlType) -> None:
    with pytest.raises(KsqlError) as refusal:
        coerce_literal(text, STRING, target)
    assert refusal.value.message == f'invalid input syntax for type {target}: "{text}".'
