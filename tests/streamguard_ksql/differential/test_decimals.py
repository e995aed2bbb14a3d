"""Arithmetic of DECIMALs against fractions: the precision and scale of a result, and its value where it has an exact one.

Source: the usual rules of SQL for precision and scale, which give what "arithmetic of decimals" in tests/recordings/queries.json
has (the manual is silent); there an inexact quotient is NULL.
"""

from __future__ import annotations

import decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from streamguard_ksql.errors import ROW_ERRORS
from streamguard_ksql.expressions.compiler import Compiler
from streamguard_ksql.expressions.scope import Scope
from streamguard_ksql.parser import parse_expression
from streamguard_ksql.schema import Column
from streamguard_ksql.types import Decimal
from tests.streamguard_ksql.differential.test_expressions import LOOSE

WIDE = decimal.Context(prec=100)
Number = tuple[int, int, int]
"""Precision, scale, and the digits as a whole number."""


@st.composite
def numbers(draw: Any) -> Number:
    precision = draw(st.integers(1, 18))
    limit = 10**precision - 1
    digits = draw(st.sampled_from([0, 1, -1, 3, limit, -limit]) | st.integers(-limit, limit))
    return precision, draw(st.integers(0, precision)), digits


def type_of(sign: str, a: Number, b: Number) -> tuple[int, int]:
    """Precision and scale of a result."""
    (p1, s1, _), (p2, s2, _) = a, b
    if sign in "+-":
        return max(p1 - s1, p2 - s2) + max(s1, s2) + 1, max(s1, s2)
    if sign == "*":
        return p1 + p2 + 1, s1 + s2
    if sign == "/":
        return p1 - s1 + s2 + max(6, s1 + p2 + 1), max(6, s1 + p2 + 1)
    return min(p1 - s1, p2 - s2) + max(s1, s2), max(s1, s2)


def value_of(sign: str, a: Number, b: Number) -> Fraction | None:
    x, y = (Fraction(n[2], 10 ** n[1]) for n in (a, b))
    if sign in "/%":
        return None if y == 0 else x / y if sign == "/" else x - y * int(x / y)
    return x + y if sign == "+" else x - y if sign == "-" else x * y


def check(sign: str, a: Number, b: Number) -> None:
    precision, scale = type_of(sign, a, b)
    assume(precision <= 38 and scale <= 38)
    wanted = value_of(sign, a, b)
    if wanted is not None and (wanted * 10**scale).denominator > 1:
        wanted = None
    compiler = Compiler(Scope((Column("A", Decimal(*a[:2])), Column("B", Decimal(*b[:2])))))
    expression = parse_expression(f"A {sign} B")
    row = [decimal.Decimal(n[2]).scaleb(-n[1], WIDE) for n in (a, b)]
    try:
        found = compiler.function(expression)(row)
    except ROW_ERRORS:
        found = None
    assert (None if found is None else Fraction(found)) == wanted, f"{row[0]} {sign} {row[1]} is {found}"
    assert compiler.type_of(expression) == Decimal(precision, scale)


@settings(LOOSE, max_examples=150, derandomize=True)
@given(st.sampled_from("+-*/%"), numbers(), numbers())
def test_arithmetic(sign: str, a: Number, b: Number) -> None:
    check(sign, a, b)


@pytest.mark.soak
@settings(LOOSE, max_examples=10_000)
@given(st.sampled_from("+-*/%"), numbers(), numbers())
def test_much_arithmetic(sign: str, a: Number, b: Number) -> None:
    check(sign, a, b)
