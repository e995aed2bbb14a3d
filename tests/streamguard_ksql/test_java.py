"""Java's numbers: text forms, wrapping, narrowing, rounding."""

from __future__ import annotations

import decimal
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard_ksql import java
from streamguard_ksql.errors import EvaluationError

DOUBLES = [
    (0.0, "0.0"),
    (-0.0, "-0.0"),
    (1.0, "1.0"),
    (100.0, "100.0"),
    (0.001, "0.001"),
    (0.0009999, "9.999E-4"),
    (9999999.0, "9999999.0"),
    (10000000.0, "1.0E7"),
    (1e10, "1.0E10"),
    (-1.5e-5, "-1.5E-5"),
    (12345678.5, "1.23456785E7"),
    (math.nan, "NaN"),
    (math.inf, "Infinity"),
    (-math.inf, "-Infinity"),
    (5e-324, "4.9E-324"),
    (1.7976931348623157e308, "1.7976931348623157E308"),
]


@pytest.mark.parametrize(("value", "text"), DOUBLES)
def test_double_to_string(value: float, text: str) -> None:
    assert java.double_to_string(value) == text


@given(st.floats(allow_nan=False))
def test_a_printed_double_reads_as_the_same(value: float) -> None:
    assert java.parse_double(java.double_to_string(value)) == value


@given(st.integers())
def test_wrapping_keeps_the_low_bits(value: int) -> None:
    assert java.wrap_int(value) % 2**32 == value % 2**32 and -(2**31) <= java.wrap_int(value) < 2**31
    assert java.wrap_long(value) % 2**64 == value % 2**64 and -(2**63) <= java.wrap_long(value) < 2**63


def test_narrowing_saturates() -> None:
    assert java.double_to_int(1e20) == 2**31 - 1
    assert java.double_to_int(-1e20) == -(2**31)
    assert java.double_to_long(1e300) == 2**63 - 1
    assert java.double_to_int(math.nan) == 0
    assert java.double_to_int(-3.99) == -3


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1).filter(bool))
def test_division_goes_towards_zero(left: int, right: int) -> None:
    quotient, rest = java.divide(left, right), java.remainder(left, right)
    assert quotient * right + rest == left
    assert abs(rest) < abs(right) and (rest == 0 or (rest < 0) == (left < 0))


def test_division_by_zero() -> None:
    for operation in (java.divide, java.remainder):
        with pytest.raises(EvaluationError, match="by zero"):
            operation(1, 0)
    assert java.divide_doubles(1.0, 0.0) == math.inf
    assert java.divide_doubles(1.0, -0.0) == -math.inf
    assert math.isnan(java.divide_doubles(0.0, 0.0))
    assert math.isnan(java.remainder_doubles(1.0, 0.0))
    assert java.remainder_doubles(-7.5, 2.0) == -1.5


@pytest.mark.parametrize(
    ("value", "rounded"),
    [(0.5, 1), (1.5, 2), (-0.5, 0), (-1.5, -1), (2.4, 2), (0.49999999999999994, 0), (1e300, 2**63 - 1), (math.nan, 0)],
)
def test_round_half_up(value: float, rounded: int) -> None:
    assert java.round_half_up(value) == rounded


def test_fit_decimal() -> None:
    assert str(java.fit_decimal(decimal.Decimal("2.345"), 4, 2)) == "2.35"
    assert str(java.fit_decimal(decimal.Decimal("-2.345"), 4, 2)) == "-2.35"
    assert str(java.fit_decimal(decimal.Decimal("9" * 38), 38, 0)) == "9" * 38
    with pytest.raises(EvaluationError, match="Numeric field overflow"):
        java.fit_decimal(decimal.Decimal("99.995"), 4, 2)


@pytest.mark.parametrize("text", ["", " 1", "1_000", "0x1F", "1.5", "2147483648"])
def test_what_is_no_int(text: str) -> None:
    with pytest.raises(EvaluationError):
        java.parse_int(text)


@pytest.mark.parametrize("text", ["", "one", "1e", "nan", "inf", "1,5", "1 "])
def test_what_is_no_double(text: str) -> None:
    with pytest.raises(EvaluationError):
        java.parse_double(text)


def test_string_hash() -> None:
    assert java.string_hash("") == 0
    assert java.string_hash("hello") == 99162322
    assert java.string_hash("polygenelubricants") == -(2**31)


@given(st.dictionaries(st.text(), st.integers()))
def test_hash_map_order_keeps_all_keys(entries: dict[str, int]) -> None:
    assert sorted(java.hash_map_order(entries)) == sorted(entries)
