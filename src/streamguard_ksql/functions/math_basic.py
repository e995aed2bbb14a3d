"""Absolute value, rounding, extremes: numbers in, numbers of the same kind out."""

from __future__ import annotations

import decimal
import math
import random
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from streamguard_ksql import java
from streamguard_ksql.codegen import Expression
from streamguard_ksql.functions.registry import CallSite, scalar
from streamguard_ksql.ordering import element_order
from streamguard_ksql.types import Decimal, SqlType

MATH = "MATHEMATICAL"


def same_decimal(types: Sequence[SqlType | None], literals: Mapping[int, Any]) -> SqlType | None:
    """The result has the type of the first argument."""
    return types[0]


def whole_decimal(types: Sequence[SqlType | None], literals: Mapping[int, Any]) -> SqlType | None:
    """The result has the digits before the point of the first argument, and none after it."""
    source = types[0]
    return Decimal(max(1, source.precision - source.scale), 0) if isinstance(source, Decimal) else None


@scalar("ABS", "(val DECIMAL) -> DECIMAL", category=MATH, returns=same_decimal, description="The absolute value.")
@scalar("ABS", "(val DOUBLE) -> DOUBLE", category=MATH)
def absolute(value: Any) -> Any:
    return abs(value) if isinstance(value, float) else value.copy_abs()


@scalar("ABS", "(val INT) -> INT", category=MATH)
def absolute_int(value: int) -> int:
    return java.wrap_int(abs(value))


@scalar("ABS", "(val BIGINT) -> BIGINT", category=MATH)
def absolute_bigint(value: int) -> int:
    return java.wrap_long(abs(value))


def _whole(value: decimal.Decimal, rounding: str) -> decimal.Decimal:
    """The value without its fraction, with the scale that it had."""
    whole = value.quantize(decimal.Decimal(1), rounding=rounding, context=java.CONTEXT)
    return whole.quantize(value, context=java.CONTEXT)


@scalar(
    "CEIL", "(val DECIMAL) -> DECIMAL", category=MATH, returns=same_decimal, description="The next whole number up."
)
def ceil_decimal(value: decimal.Decimal) -> decimal.Decimal:
    return _whole(value, decimal.ROUND_CEILING)


@scalar("CEIL", "(val DOUBLE) -> DOUBLE", category=MATH)
def ceil_double(value: float) -> float:
    return math.copysign(float(math.ceil(value)), value) if math.isfinite(value) else value


@scalar(
    "FLOOR", "(val DECIMAL) -> DECIMAL", category=MATH, returns=same_decimal, description="The next whole number down."
)
def floor_decimal(value: decimal.Decimal) -> decimal.Decimal:
    return _whole(value, decimal.ROUND_FLOOR)


@scalar("FLOOR", "(val DOUBLE) -> DOUBLE", category=MATH)
def floor_double(value: float) -> float:
    return math.copysign(float(math.floor(value)), value) if math.isfinite(value) else value


@scalar("CEIL", "(val INT) -> INT", "(val BIGINT) -> BIGINT", category=MATH)
@scalar("FLOOR", "(val INT) -> INT", "(val BIGINT) -> BIGINT", category=MATH)
@scalar("ROUND", "(val INT) -> BIGINT", "(val BIGINT) -> BIGINT", category=MATH)
@scalar("TRUNC", "(val INT) -> BIGINT", "(val BIGINT) -> BIGINT", category=MATH)
def as_it_is(value: int) -> int:
    return value


def _round(value: decimal.Decimal, places: int) -> decimal.Decimal:
    """Halves go up in the positive direction: 2.5 to 3, -2.5 to -2."""
    rounding = decimal.ROUND_HALF_DOWN if value.is_signed() else decimal.ROUND_HALF_UP
    return value.quantize(_quantum(places), rounding, java.CONTEXT)


@cache
def _quantum(places: int) -> decimal.Decimal:
    """One of the last of so many decimal places."""
    return decimal.Decimal(1).scaleb(-places)


def _trunc(value: decimal.Decimal, places: int) -> decimal.Decimal:
    return value.quantize(decimal.Decimal(1).scaleb(-places), rounding=decimal.ROUND_DOWN, context=java.CONTEXT)


_POWERS = (1, 10, 100, 1_000, 10_000)


@scalar("ROUND", "(val DOUBLE) -> BIGINT", category=MATH, description="The number rounded, halves upwards.")
def round_double(value: float) -> int:
    return java.round_half_up(value)


@scalar("ROUND", "(val DOUBLE, decimalPlaces INT) -> DOUBLE", category=MATH)
def round_double_to(value: float, places: int) -> float:
    # Most amounts have no more places than asked for: then the quotient, rounded to a double, is the value itself.
    if 0 < value < 1e12 and 0 <= places < 5 and int(value * (scale := _POWERS[places]) + 0.5) / scale == value:
        return value
    return float(_round(java.double_to_decimal(value), places)) if math.isfinite(value) else value


@scalar("ROUND", "(val DECIMAL) -> DECIMAL", category=MATH, returns=whole_decimal)
def round_decimal(value: decimal.Decimal) -> decimal.Decimal:
    return _round(value, 0)


@scalar("ROUND", "(val DECIMAL, decimalPlaces INT) -> DECIMAL", category=MATH, returns=same_decimal, bind=True)
def bind_round_decimal(site: CallSite) -> Callable[[decimal.Decimal, int], decimal.Decimal]:
    """With a literal for the places no call of a function but Python's own."""
    places = site.literals.get(1)
    if not isinstance(places, int):
        return lambda value, given: _round(value, given).quantize(value, None, java.CONTEXT)
    # Most amounts have no more places than asked for: a remainder costs a tenth of the rounding.
    rounded = "{value}.quantize({quantum}, {down} if {value}.is_signed() else {up}, {context}).quantize({value}, None, {context})"
    return Expression(
        f"({rounded} if {{remainder}}({{value}}, {{quantum}}) else {{value}})",
        "value",
        "places",
        quantum=_quantum(places),
        down=decimal.ROUND_HALF_DOWN,
        up=decimal.ROUND_HALF_UP,
        context=java.CONTEXT,
        remainder=java.CONTEXT.remainder,
    )


@scalar("TRUNC", "(val DOUBLE) -> BIGINT", category=MATH, description="The number cut off after some decimal places.")
def trunc_double(value: float) -> int:
    return java.double_to_long(value)


@scalar("TRUNC", "(val DOUBLE, decimalPlaces INT) -> DOUBLE", category=MATH)
def trunc_double_to(value: float, places: int) -> float:
    return float(_trunc(java.double_to_decimal(value), places)) if math.isfinite(value) else value


@scalar("TRUNC", "(val DECIMAL) -> DECIMAL", category=MATH, returns=whole_decimal)
def trunc_decimal(value: decimal.Decimal) -> decimal.Decimal:
    return _trunc(value, 0)


@scalar("TRUNC", "(val DECIMAL, decimalPlaces INT) -> DECIMAL", category=MATH, returns=same_decimal)
def trunc_decimal_to(value: decimal.Decimal, places: int) -> decimal.Decimal:
    return _trunc(value, places).quantize(value, context=java.CONTEXT)


@scalar("SIGN", "(value DOUBLE) -> INT", "(value INT) -> INT", "(value BIGINT) -> INT", category=MATH,
        description="-1, 0 or 1: the sign of the number.")  # fmt: skip
def sign(value: float) -> int:
    return (value > 0) - (value < 0)


@scalar("RANDOM", "() -> DOUBLE", category=MATH, description="A random number from 0.0 up to but not including 1.0.")
def random_double() -> float:
    return random.random()


_COMPARABLE = ("TIME", "DATE", "BYTES", "TIMESTAMP", "DECIMAL", "INT", "BIGINT", "DOUBLE", "VARCHAR")
_EXTREMES = tuple(f"(val {word}, vals {word}...) -> {word}" for word in _COMPARABLE)


def _extreme(pick: Callable[..., Any]) -> Callable[[CallSite], Callable[..., Any]]:
    def prepare(site: CallSite) -> Callable[..., Any]:
        key = element_order(site.returns)

        def run(*values: Any) -> Any:
            return pick((value for value in values if value is not None), default=None, key=key)

        return run

    return prepare


scalar("GREATEST", *_EXTREMES, category=MATH, nulls="pass", bind=True,
       description="The largest of the values that are not NULL.")(_extreme(max))  # fmt: skip
scalar("LEAST", *_EXTREMES, category=MATH, nulls="pass", bind=True,
       description="The smallest of the values that are not NULL.")(_extreme(min))  # fmt: skip
