"""Readings of the functions of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from typing import Any

from tests.streamguard_ksql.differential.reading import BIGINT, in_order, need, reads, value_if, wrapped

WIDE = Context(prec=800, Emax=10_000, Emin=-10_000)
EARTH_KM, EARTH_MILES = 6371.0, 6371.0 / 1.609344
DIGITS = 12
"""Of a DECIMAL column in the examples."""


@reads("ABS", typed=True)
def absolute(kinds: Any, value: Any) -> Any:
    return wrapped(abs(value), kinds[0]) if isinstance(value, int) else abs(value)


def _whole(value: Any, of_double: Callable[[float], int], rounding: str) -> Any:
    if isinstance(value, float):
        return value if not math.isfinite(value) else math.copysign(float(of_double(value)), value)
    if isinstance(value, int):
        return value
    result = value.to_integral_value(rounding)
    need(len(result.as_tuple().digits) + 3 <= DIGITS)
    return result


@reads("CEIL")
def ceil(value: Any) -> Any:
    return _whole(value, math.ceil, ROUND_CEILING)


@reads("FLOOR")
def floor(value: Any) -> Any:
    return _whole(value, math.floor, ROUND_FLOOR)


def _to_bigint(value: float, round_it: Callable[[Fraction], int]) -> int:
    if value != value:
        return 0
    if math.isinf(value):
        return BIGINT - 1 if value > 0 else -BIGINT
    return max(-BIGINT, min(BIGINT - 1, round_it(Fraction(value))))


def _places(value: Decimal, places: int, *, up: bool) -> Decimal:
    """Halves in the positive direction, or cut off."""
    unit = Decimal(1).scaleb(-places)
    scaled = WIDE.divide(value, unit)
    whole = (
        WIDE.add(scaled, Decimal("0.5")).to_integral_value(ROUND_FLOOR) if up else scaled.to_integral_value(ROUND_DOWN)
    )
    return WIDE.multiply(whole, unit)


def _rounded(value: Any, places: Any, *, up: bool) -> Any:
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        if places is None:
            return _to_bigint(value, lambda f: math.floor(f + Fraction(1, 2)) if up else int(f))
        need(math.isfinite(value) and abs(places) <= 20)
        return float(_places(Decimal(repr(value)), places, up=up)) + 0.0
    need(places is None or -9 <= places <= 20)
    if (places or 0) >= 3:
        return value
    result = _places(value, places or 0, up=up)
    need(abs(result) < 10**9)
    return result


@reads("ROUND")
def rounded(value: Any, places: Any = None) -> Any:
    return _rounded(value, places, up=True)


@reads("TRUNC")
def cut(value: Any, places: Any = None) -> Any:
    return _rounded(value, places, up=False)


@reads("SIGN")
def sign(value: Any) -> int:
    need(value == value)
    return int(value > 0) - int(value < 0)


def _safely(body: Callable[..., float], *values: float) -> float:
    """Outside of what a function is defined for it is NaN, and too large is infinite."""
    try:
        return body(*map(float, values))
    except ValueError:
        return math.nan
    except OverflowError:
        return math.inf


def _reads_double(name: str, body: Callable[..., float]) -> None:
    reads(name)(lambda *values: _safely(body, *values))


def _power(base: float, exponent: float) -> float:
    if base == 0 and exponent < 0:
        need(not math.copysign(1, base) < 0)
        return math.inf
    need(not (abs(base) == 1 and not math.isfinite(exponent)))
    need(exponent == exponent and base == base)
    result = _safely(math.pow, base, exponent)
    return -result if math.isinf(result) and base < 0 and exponent % 2 == 1 else result


def _logarithm(*values: float) -> float:
    *bases, value = values
    need(value == value and all(b == b and math.isfinite(b) for b in bases))
    valid = [b for b in bases if b > 0 and b != 1]
    need(len(valid) == len(bases) or value != 0)
    if len(valid) < len(bases) or value < 0:
        return math.nan
    if value == 0:
        return -math.inf
    return math.log(value) / math.log(valid[0]) if valid else math.log(value)


def _cot(value: float) -> float:
    return math.copysign(math.inf, value) if value == 0 else 1 / math.tan(value)


def _root(value: float) -> float:
    return value if not math.isfinite(value) else math.copysign(abs(value) ** (1 / 3), value)


_DOUBLES: dict[str, Callable[..., float]] = {
    "ACOS": math.acos,
    "ASIN": math.asin,
    "ATAN": math.atan,
    "ATAN2": math.atan2,
    "COS": math.cos,
    "COSH": math.cosh,
    "COT": _cot,
    "CBRT": _root,
    "DEGREES": math.degrees,
    "EXP": math.exp,
    "LN": lambda x: -math.inf if x == 0 else math.log(x),
    "LOG": _logarithm,
    "POWER": _power,
    "RADIANS": math.radians,
    "SIN": math.sin,
    "SINH": lambda x: math.copysign(_safely(math.sinh, abs(x)), x),
    "SQRT": math.sqrt,
    "TAN": math.tan,
    "TANH": math.tanh,
    "PI": lambda: math.pi,
}
for _name, _body in _DOUBLES.items():
    _reads_double(_name, _body)


@reads("GREATEST", nulls=True)
def greatest(*values: Any) -> Any:
    given = in_order([v for v in values if v is not None])
    return given[-1] if given else None


@reads("LEAST", nulls=True)
def least(*values: Any) -> Any:
    given = in_order([v for v in values if v is not None])
    return given[0] if given else None


@reads("GEO_DISTANCE", nulls=True)
def distance(lat1: Any, lon1: Any, lat2: Any, lon2: Any, unit: Any = None) -> Any:
    if None in (lat1, lon1, lat2, lon2):
        return None
    need(unit is None or unit.upper() in ("KM", "MILES"))
    need(all(x == x for x in (lat1, lon1, lat2, lon2)))
    value_if(max(abs(lat1), abs(lat2)) <= 90 and max(abs(lon1), abs(lon2)) <= 180)
    a, b = math.radians(lat1), math.radians(lat2)
    d = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(math.radians(lon2 - lon1) / 2) ** 2
    need(d < 0.999999 and (d == 0 or d > 1e-12))
    return 2 * math.asin(math.sqrt(d)) * (EARTH_MILES if unit and unit.upper() == "MILES" else EARTH_KM)


@reads("GENERATE_SERIES")
def series(start: int, end: int, step: int | None = None) -> list[int]:
    used = step if step is not None else 1 if end >= start else -1
    value_if(used != 0 and (end - start) * used >= 0)
    need(abs(end - start) // abs(used) < 1000)
    return list(range(start, end + (1 if used > 0 else -1), used))
