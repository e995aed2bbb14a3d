"""Java's functions of doubles: the digits that Java prints, and results close to the C library's."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard_ksql import java, java_math

LIKE_C: list[tuple[Callable[[float], float], Callable[[float], float], float]] = [
    (java_math.cosh, math.cosh, 700),
    (java_math.sinh, math.sinh, 700),
    (java_math.tanh, math.tanh, 700),
    (java_math.asin, math.asin, 1),
    (java_math.acos, math.acos, 1),
    (java_math.atan, math.atan, 1e300),
]


@pytest.mark.parametrize(("ours", "other", "limit"), LIKE_C, ids=lambda value: getattr(value, "__name__", str(value)))
@given(x=st.floats(-1, 1), y=st.floats(0, 1))
def test_functions_agree_with_the_c_library_but_for_the_last_digits(
    ours: Callable[[float], float], other: Callable[[float], float], limit: float, x: float, y: float
) -> None:
    for value in (x, x * limit * y):
        expected = other(value)
        assert abs(ours(value) - expected) <= 2 * math.ulp(expected)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_cube_of_a_cube_root_is_the_number(x: float) -> None:
    root = java_math.cbrt(x)
    assert math.copysign(1, root) == math.copysign(1, x)
    assert math.isclose(abs(root), abs(x) ** (1 / 3), rel_tol=1e-13)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_angles_agree_with_the_c_library_but_for_the_last_digits(y: float, x: float) -> None:
    expected = math.atan2(y, x)
    assert abs(java_math.atan2(y, x) - expected) <= 2 * math.ulp(expected)


@pytest.mark.parametrize("function", [java_math.cosh, java_math.sinh, java_math.tanh, java_math.asin, java_math.cbrt])
def test_what_is_no_number_stays_so(function: Callable[[float], float]) -> None:
    assert math.isnan(function(math.nan))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7.2911220195563975e-304, "7.2911220195563975E-304"),  # a power of two, as recorded
        (2.0**62, "4.6116860184273879E18"),
        (2.0**-1070, "7.9E-323"),
        (1e23, "1.0E23"),
        (2e-323, "2.0E-323"),
    ],
)
def test_digits_beyond_the_fewest(value: float, text: str) -> None:
    assert java.double_to_string(value) == text


@given(st.floats(min_value=5e-324, allow_infinity=False))
def test_all_printed_digits_are_needed_or_of_a_whole_number(value: float) -> None:
    assert float(java.double_to_string(value)) == value


@given(st.text())
def test_units_come_back(text: str) -> None:
    split = java.units(text)
    assert java.from_units(split) == text and len(split) == len(text.encode("utf-16-le", "surrogatepass")) // 2
