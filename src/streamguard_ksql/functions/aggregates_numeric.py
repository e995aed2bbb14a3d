"""COUNT, SUM, AVG, MIN, MAX, SUM_LIST, STDDEV_SAMP, STDDEV_SAMPLE, CORRELATION.

All but MIN and MAX can take rows back and so may run over tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamguard_ksql.codegen import Expression
from streamguard_ksql.errors import FatalRecordError
from streamguard_ksql.functions.registry import CallSite, aggregate
from streamguard_ksql.java import CONTEXT, decimal_to_string, wrap_int, wrap_long
from streamguard_ksql.ordering import signed
from streamguard_ksql.types import BIGINT_MAX, BIGINT_MIN, INT_MAX, INT_MIN, INTEGER, Array, Decimal, SqlType


def _same(types: Sequence[SqlType | None], literals: Mapping[int, Any]) -> SqlType | None:
    return types[0]


def _identity(value: Any) -> Any:
    return value


def _wrapping(sql_type: SqlType | None) -> Any:
    """What keeps a sum in the range of its type."""
    if sql_type is not None and sql_type.base in ("INTEGER", "BIGINT"):
        return wrap_int if sql_type == INTEGER else wrap_long
    return _identity


def _zero(sql_type: SqlType | None) -> Any:
    if isinstance(sql_type, Decimal):
        return CONTEXT.create_decimal(0).scaleb(-sql_type.scale)
    return 0.0 if sql_type is not None and sql_type.base == "DOUBLE" else 0


@aggregate("COUNT", "(val1 T) -> BIGINT", description="The number of rows, or of values that are not NULL.")
class Count:
    """State: the number."""

    def __init__(self, site: CallSite) -> None:
        pass

    initial = Expression("0")
    add = Expression("{state} if {value} is None else {state} + 1", "state", "value")
    undo = Expression("{state} if {value} is None else {state} - 1", "state", "value")
    merge = Expression("{left} + {right}", "left", "right")
    result = Expression("{state}", "state")


class _Sum:
    """State: the sum, zero before the first value."""

    add: Callable[[Any, Any], Any]

    def __init__(self, site: CallSite) -> None:
        self.initial: Callable[[], Any] = Expression("{zero}", zero=_zero(site.types[0]))

    def undo(self, state: Any, value: Any) -> Any:
        return state if value is None else self.add(state, -value)

    def merge(self, left: Any, right: Any) -> Any:
        return self.add(left, right)

    result = Expression("{state}", "state")


@aggregate("SUM", "(val1 DECIMAL) -> DECIMAL", returns=_same,
           description="The sum of the values that are not NULL, in their own type: integers wrap, a DECIMAL that has "
                       "no room for it ends the query.")  # fmt: skip
class SumDecimal(_Sum):
    def __init__(self, site: CallSite) -> None:
        super().__init__(site)
        self._type = site.types[0]
        assert isinstance(self._type, Decimal)
        digits = self._type.precision - self._type.scale
        # Python's own addition is exact up to the 28 digits of its default context.
        total = "{state} + {value}" if self._type.precision < 28 else "{exactly}({state}, {value})"
        self.add = Expression(
            f"{{state}} if {{value}} is None else t if (t := {total}).adjusted() < {digits} else {{overflow}}(t)",
            "state",
            "value",
            exactly=CONTEXT.add,
            overflow=self._overflow,
        )

    def undo(self, state: Any, value: Any) -> Any:
        return self.add(state, None if value is None else value.copy_negate())

    def _overflow(self, total: Any) -> Any:
        raise FatalRecordError(
            f"Numeric field overflow: a SUM has reached {decimal_to_string(total)}, which does not fit {self._type}. "
            "CAST what is summed to a DECIMAL with more digits."
        )


@aggregate("SUM", "(val1 DOUBLE) -> DOUBLE")
class SumDouble(_Sum):
    add = Expression("{state} if {value} is None else {state} + {value}", "state", "value")


@aggregate("SUM", "(val1 INT) -> INT")
class SumInt(_Sum):
    def add(self, state: Any, value: Any) -> Any:
        if value is None:
            return state
        total = state + value
        return total if INT_MIN <= total <= INT_MAX else wrap_int(total)


@aggregate("SUM", "(val1 BIGINT) -> BIGINT")
class SumBigint(_Sum):
    def add(self, state: Any, value: Any) -> Any:
        if value is None:
            return state
        total = state + value
        return total if BIGINT_MIN <= total <= BIGINT_MAX else wrap_long(total)


@aggregate(
    "SUM_LIST",
    "(val1 ARRAY<DOUBLE>) -> DOUBLE",
    "(val1 ARRAY<INT>) -> INT",
    "(val1 ARRAY<BIGINT>) -> BIGINT",
    description="The sum of all elements of all arrays.",
)
class SumList:
    """State: the sum."""

    def __init__(self, site: CallSite) -> None:
        item = site.types[0].item if isinstance(site.types[0], Array) else None
        self._fit = _wrapping(item)
        self._zero = _zero(item)

    def initial(self) -> Any:
        return self._zero

    def add(self, state: Any, value: Any) -> Any:
        return state if value is None else self._fit(state + sum(item for item in value if item is not None))

    def undo(self, state: Any, value: Any) -> Any:
        return state if value is None else self._fit(state - sum(item for item in value if item is not None))

    def merge(self, left: Any, right: Any) -> Any:
        return self._fit(left + right)

    def result(self, state: Any) -> Any:
        return state


_NUMBERS = ("(val1 DOUBLE) -> DOUBLE", "(val1 INT) -> DOUBLE", "(val1 BIGINT) -> DOUBLE")


@aggregate("AVG", *_NUMBERS, description="The average of the values that are not NULL.")
class Average:
    """State: [sum in the type of the column, count]. Without any value the average is 0.0."""

    def __init__(self, site: CallSite) -> None:
        self._fit = _wrapping(site.types[0])
        self._zero = _zero(site.types[0])

    def initial(self) -> list[Any]:
        return [self._zero, 0]

    def add(self, state: list[Any], value: Any) -> list[Any]:
        if value is not None:
            state[0] = self._fit(state[0] + value)
            state[1] += 1
        return state

    def undo(self, state: list[Any], value: Any) -> list[Any]:
        if value is not None:
            state[0] = self._fit(state[0] - value)
            state[1] -= 1
        return state

    def merge(self, left: list[Any], right: list[Any]) -> list[Any]:
        return [self._fit(left[0] + right[0]), left[1] + right[1]]

    def result(self, state: list[Any]) -> float:
        return float(state[0]) / state[1] if state[1] else 0.0


_EXTREME = "{{state}} if {{value}} is None or ({{state}} is not None and {{value}} {better} {{state}}) else {{value}}"
_ORDERED = ("DECIMAL", "DOUBLE", "INT", "BIGINT", "VARCHAR", "TIMESTAMP", "TIME", "DATE")


@aggregate("MAX", *(f"(val1 {word}) -> {word}" for word in _ORDERED), returns=_same, description="The largest value.")
class Max:
    """State: the value so far, None before the first."""

    def __init__(self, site: CallSite) -> None:
        pass

    initial = Expression("None")
    add = Expression(_EXTREME.format(better="<="), "state", "value")

    def merge(self, left: Any, right: Any) -> Any:
        return self.add(left, right)

    result = Expression("{state}", "state")


@aggregate("MIN", *(f"(val1 {word}) -> {word}" for word in _ORDERED), returns=_same, description="The smallest value.")
class Min(Max):
    add = Expression(_EXTREME.format(better=">="), "state", "value")


@aggregate("MAX", "(val1 BYTES) -> BYTES")
class MaxBytes:
    """State: the value so far, None before the first."""

    pick: Callable[..., bytes | None] = staticmethod(max)

    def __init__(self, site: CallSite) -> None:
        pass

    def initial(self) -> None:
        return None

    def add(self, state: bytes | None, value: bytes | None) -> bytes | None:
        return self.pick((v for v in (state, value) if v is not None), key=signed, default=None)

    def merge(self, left: bytes | None, right: bytes | None) -> bytes | None:
        return self.add(left, right)

    def result(self, state: bytes | None) -> bytes | None:
        return state


@aggregate("MIN", "(val1 BYTES) -> BYTES")
class MinBytes(MaxBytes):
    pick: Callable[..., bytes | None] = staticmethod(min)


@aggregate(
    "STDDEV_SAMP",
    *_NUMBERS,
    description="Despite its name the variance of the sample, as in ksqlDB 0.29: see STDDEV_SAMPLE.",
)
class SampleVariance:
    """State: [sum, count, sum of the squared distances from the mean]. With fewer than two values it is 0.0."""

    def __init__(self, site: CallSite) -> None:
        pass

    def initial(self) -> list[Any]:
        return [0, 0, 0.0]

    def add(self, state: list[Any], value: Any) -> list[Any]:
        if value is not None:
            state[0] += value
            state[1] = count = state[1] + 1
            if count > 1:
                distance = count * value - state[0]
                state[2] += distance * distance / (count * (count - 1.0))
        return state

    def undo(self, state: list[Any], value: Any) -> list[Any]:
        if value is not None:
            count = state[1]
            if count > 1:
                distance = count * value - state[0]
                state[2] -= distance * distance / (count * (count - 1.0))
            state[0] -= value
            state[1] = count - 1
        return state

    def merge(self, left: list[Any], right: list[Any]) -> list[Any]:
        if not left[1] or not right[1]:
            return right if not left[1] else left
        distance = left[0] / left[1] - right[0] / right[1]
        count = left[1] + right[1]
        return [left[0] + right[0], count, left[2] + right[2] + distance * distance * left[1] * right[1] / count]

    def result(self, state: list[Any]) -> float:
        """Rows taken back can leave a trace below zero, by rounding: it is zero."""
        return max(0.0, float(state[2] / (state[1] - 1))) if state[1] > 1 else 0.0


@aggregate("STDDEV_SAMPLE", *_NUMBERS, description="The standard deviation of the sample.")
class SampleDeviation(SampleVariance):
    def result(self, state: list[Any]) -> float:
        return math.sqrt(super().result(state))


@aggregate(
    "CORRELATION",
    "(val1 DOUBLE, val2 DOUBLE) -> DOUBLE",
    "(val1 INT, val2 INT) -> DOUBLE",
    "(val1 BIGINT, val2 BIGINT) -> DOUBLE",
    description="Pearson's coefficient of correlation between two columns; NaN with fewer than two pairs.",
)
class Correlation:
    """State: [count, sum x, sum y, sum x*x, sum y*y, sum x*y]; pairs with a NULL are left out."""

    def __init__(self, site: CallSite) -> None:
        pass

    def initial(self) -> list[float]:
        return [0, 0.0, 0.0, 0.0, 0.0, 0.0]

    def add(self, state: list[float], value: list[Any]) -> list[float]:
        return self._move(state, value, 1)

    def undo(self, state: list[float], value: list[Any]) -> list[float]:
        return self._move(state, value, -1)

    def _move(self, state: list[float], value: list[Any], sign: int) -> list[float]:
        x, y = value
        if x is not None and y is not None:
            for index, term in enumerate((1, x, y, x * x, y * y, x * y)):
                state[index] += sign * term
        return state

    def merge(self, left: list[float], right: list[float]) -> list[float]:
        return [a + b for a, b in zip(left, right, strict=True)]

    def result(self, state: list[float]) -> float:
        count, x, y, xx, yy, xy = state
        spread = (count * xx - x * x) * (count * yy - y * y)
        return (count * xy - x * y) / math.sqrt(spread) if spread > 0 else math.nan
