"""Arithmetic as ksqlDB does it on the JVM: integers wrap, decimals have a precision and scale, doubles have infinities.

Source: the operators and data types pages of the ksqlDB manual; JLS 15.17 and 15.18 for the borders.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable
from typing import Any

from streamguard_ksql.errors import EvaluationError, KsqlError
from streamguard_ksql.java import divide, remainder, wrap_int, wrap_long
from streamguard_ksql.types import (
    BIGINT,
    BIGINT_MAX,
    BIGINT_MIN,
    DOUBLE,
    INT_MAX,
    INT_MIN,
    INTEGER,
    STRING,
    Decimal,
    SqlType,
    as_decimal,
    is_numeric,
)

CONTEXT = decimal.Context(prec=200, rounding=decimal.ROUND_HALF_UP)


def result_type(op: str, left: SqlType | None, right: SqlType | None) -> SqlType:
    """The type of `left op right`; KsqlError for operands that do not add up."""
    if op == "+" and left == STRING and right == STRING:
        return STRING
    if left is None or right is None or not (is_numeric(left) and is_numeric(right)):
        names = f"{left or 'NULL'} and {right or 'NULL'}"
        raise KsqlError(f"Unsupported arithmetic types. {names.replace(' and ', ' ')}".replace("NULL", "null"))
    if DOUBLE in (left, right):
        return DOUBLE
    if isinstance(left, Decimal) or isinstance(right, Decimal):
        return decimal_result(op, as_decimal(left), as_decimal(right))
    return BIGINT if BIGINT in (left, right) else INTEGER


def decimal_result(op: str, left: Decimal, right: Decimal) -> Decimal:
    """Precision and scale of a decimal result: the rules of the manual's DECIMAL page (those of SQL Server)."""
    p1, s1, p2, s2 = left.precision, left.scale, right.precision, right.scale
    match op:
        case "+" | "-":
            return Decimal(max(s1, s2) + max(p1 - s1, p2 - s2) + 1, max(s1, s2))
        case "*":
            return Decimal(p1 + p2 + 1, s1 + s2)
        case "/":
            scale = max(6, s1 + p2 + 1)
            return Decimal(p1 - s1 + s2 + scale, scale)
        case _:
            return Decimal(min(p1 - s1, p2 - s2) + max(s1, s2), max(s1, s2))


def integer_operation(op: str, result: SqlType) -> Callable[[int, int], int]:
    """Java's int or long arithmetic: overflow wraps, division truncates towards zero."""
    wrap = wrap_int if result == INTEGER else wrap_long
    match op:
        case "/":
            return lambda a, b: wrap(divide(a, b))
        case "%":
            return remainder
        case "+":
            return _add_int if result == INTEGER else _add_long
        case "-":
            return lambda a, b: wrap(a - b)
        case _:
            return lambda a, b: wrap(a * b)


def _add_int(a: int, b: int) -> int:
    total = a + b
    return total if INT_MIN <= total <= INT_MAX else wrap_int(total)


def _add_long(a: int, b: int) -> int:
    total = a + b
    return total if BIGINT_MIN <= total <= BIGINT_MAX else wrap_long(total)


def decimal_operation(op: str, result: Decimal) -> Callable[[Any, Any], decimal.Decimal]:
    """Arithmetic on decimals (integers are taken as such). It never rounds: a quotient that the result's type cannot have
    exactly (1 / 3) is an error of the row."""
    quantum = decimal.Decimal(1).scaleb(-result.scale)
    operation = {
        "+": CONTEXT.add,
        "-": CONTEXT.subtract,
        "*": CONTEXT.multiply,
        "/": CONTEXT.divide,
        "%": CONTEXT.remainder,
    }[op]
    if op in "+-*":
        # As many places as the type has, where both sides have as many as theirs; of an integer they are none.
        return lambda a, b: operation(a, b).quantize(quantum, None, CONTEXT)

    def run(a: Any, b: Any) -> decimal.Decimal:
        if b == 0:
            raise EvaluationError("Division by zero")
        exact_value = operation(decimal.Decimal(a), decimal.Decimal(b))
        value = exact_value.quantize(quantum, context=CONTEXT)
        if value != exact_value:
            raise EvaluationError(f"Rounding necessary: {a} / {b} has no exact value in {result}")
        return value

    return run


def exact(value: Any) -> decimal.Decimal:
    """A number as a decimal, a double by its shortest text: how ksqlDB compares DECIMAL with DOUBLE."""
    return decimal.Decimal(repr(value)) if isinstance(value, float) else decimal.Decimal(value)
