"""What the manual of ksqlDB says that an expression is worth, as plain Python, apart from the engine and sharing nothing with it.

A reading is a function of Python values; it has the name of the SQL function that it reads. It raises `NoValue` where the
manual, or a recording of ksqlDB 0.29, says that the row has no value (the column is NULL), and `Silent` where neither says
anything: such an example is not compared. NULL in gives NULL out, unless a reading says `nulls=True`.

Source: docs/developer-guide/ksqldb-reference/{scalar-functions,operators,type-coercion}.md of the manual;
tests/recordings where the manual is silent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Any

INT, BIGINT = 2**31, 2**63


class NoValue(Exception):
    """The row has no value."""


class Silent(Exception):
    """The manual does not say."""


@dataclass(frozen=True)
class Reading:
    """How a function is read. `kinds` are the SQL types of the arguments, for readings that depend on them."""

    body: Callable[..., Any]
    nulls: bool
    typed: bool

    def __call__(self, kinds: Sequence[str], *values: Any) -> Any:
        if not self.nulls and any(value is None for value in values):
            return None
        return self.body(kinds, *values) if self.typed else self.body(*values)


READINGS: dict[str, Reading] = {}


def reads(*names: str, nulls: bool = False, typed: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as the reading of SQL functions."""

    def register(body: Callable[..., Any]) -> Callable[..., Any]:
        READINGS.update({name: Reading(body, nulls, typed) for name in names})
        return body

    return register


def need(condition: Any) -> None:
    """Go on where the manual, or a recording, says what happens."""
    if not condition:
        raise Silent


def value_if(condition: Any) -> None:
    """Go on where there is a value."""
    if not condition:
        raise NoValue


def wrapped(value: int, kind: str) -> int:
    """A whole number in the range of its type: Java's numbers wrap."""
    limit = INT if kind == "INT" else BIGINT
    return (value + limit) % (2 * limit) - limit


def compared(a: Any, b: Any) -> int:
    """The order of two values that are not NULL: NaN is the largest number, bytes are signed, text is in UTF-16 units."""
    if isinstance(a, float):
        return _doubles(a, b)
    if isinstance(a, bytes):
        a, b = [(n + 128) % 256 for n in a], [(n + 128) % 256 for n in b]
    if isinstance(a, str):
        # Documented: the engine orders by code points.
        need(all(c < "\ud800" for c in a + b))
    return int(a > b) - int(a < b)


def _doubles(a: float, b: float) -> int:
    def place(x: float) -> tuple[bool, float, bool]:
        return (x != x, 0.0 if x != x else x, x == 0 and str(x) != "-0.0")

    return int(place(a) > place(b)) - int(place(a) < place(b))


def in_order(values: Sequence[Any]) -> list[Any]:
    """Values that are not NULL from the smallest to the largest."""
    return sorted(values, key=cmp_to_key(compared))


def equal(a: Any, b: Any) -> bool:
    """Equality of values, also of NULL and NaN with themselves, as collections have it."""
    if isinstance(a, float) and isinstance(b, float):
        return _doubles(a, b) == 0
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and bool(a == b)


def among(value: Any, values: Sequence[Any]) -> bool:
    return any(equal(value, other) for other in values)


def as_text(value: Any, kind: str) -> str:
    """A value as text: null, true, 1.0E10, 1.50."""
    if value is None:
        return "null"
    if kind == "DOUBLE":
        return double_text(value)
    need(kind in ("INT", "BIGINT", "STRING", "BOOLEAN") or kind.startswith("DECIMAL"))
    return str(value).lower() if kind == "BOOLEAN" else f"{value:f}" if kind.startswith("DECIMAL") else str(value)


def double_text(value: float) -> str:
    """As Java prints it: plain from 0.001 up to 10,000,000, else with an exponent."""
    if value != value or value in (float("inf"), float("-inf")):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return format(value, "f") if float(format(value, ".1f")) != value and "e" in repr(value) else repr(value)
    mantissa, _, exponent = format(value, "e").partition("e")
    digits = repr(value).lower().partition("e")[0].replace("-", "").replace(".", "").strip("0")
    need(len(digits) <= 16)  # Java 11 sometimes prints more digits than it needs.
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[0]}.{digits[1:] or '0'}E{int(exponent)}" if mantissa else ""
