"""Small inputs that would make values, or take times, without end."""

from __future__ import annotations

import pytest

from streamguard_ksql.casts import cast_function
from streamguard_ksql.errors import ROW_ERRORS, KsqlError, SerializationError
from streamguard_ksql.formats import FormatOptions, find_format
from streamguard_ksql.schema import Column
from streamguard_ksql.types import BIGINT, DOUBLE, INTEGER, STRING, Decimal, SqlType
from tests.streamguard_ksql.functions.test_function_cases import evaluate

TOO_LARGE = [
    ("REDUCE(GENERATE_SERIES(1, 100), 'x', (s, i) => CONCAT(s, s))", "REDUCE gives at most 16777216 characters"),
    ("REDUCE(GENERATE_SERIES(1, 100), 'x', (s, i) => s + s)", "REDUCE gives at most 16777216 characters"),
    (
        "REDUCE(GENERATE_SERIES(1, 100), ARRAY[1], (s, i) => ARRAY_CONCAT(s, s))",
        "REDUCE gives at most 1000000 elements",
    ),
    ("REPLACE(LPAD('', 10000, 'a'), 'a', LPAD('', 10000, 'b'))", "REPLACE gives at most 16777216 characters"),
    ("REGEXP_REPLACE(LPAD('', 10000, 'a'), 'a', LPAD('', 10000, 'b'))", "REGEXP_REPLACE gives at most 16777216"),
    ("GENERATE_SERIES(CAST(1 AS BIGINT), 1000000000000)", "GENERATE_SERIES gives at most 1000000 elements"),
]


@pytest.mark.parametrize(("sql", "message"), TOO_LARGE)
def test_a_value_that_would_take_all_memory_is_an_error_of_its_row(sql: str, message: str) -> None:
    with pytest.raises(ROW_ERRORS, match=message):
        evaluate(sql)


TEXTS = ["1" * 300_000, "1" * 300_000 + "x", "1e999999999", "1e1000000", "-" * 300_000, "2020-" * 60_000]


@pytest.mark.parametrize("target", [INTEGER, BIGINT, Decimal(10, 2)], ids=str)
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:12])
def test_a_long_number_is_an_error_of_its_row(text: str, target: SqlType) -> None:
    cast = cast_function(STRING, target, {})
    assert cast is not None
    with pytest.raises((*ROW_ERRORS, KsqlError)):
        cast(text)


@pytest.mark.parametrize("number", ["1e999999999", "1e10001", "-1e99999999999", "1e-999999999", "1" * 10_000])
@pytest.mark.parametrize("other", [BIGINT, INTEGER, STRING, DOUBLE], ids=str)
def test_a_number_in_json_whose_digits_would_take_all_memory_cannot_be_read(number: str, other: SqlType) -> None:
    """A column of type DECIMAL makes all numbers of the record be read exactly."""
    read = find_format("JSON").deserializer(
        [Column("AMOUNT", Decimal(19, 4)), Column("OTHER", other)], FormatOptions(), key=False
    )
    with pytest.raises(SerializationError):
        read(b'{"AMOUNT": 1, "OTHER": ' + number.encode() + b"}")
