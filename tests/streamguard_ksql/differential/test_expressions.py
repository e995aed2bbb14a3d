"""Random expressions over all functions and operators, against a reading of the manual that shares nothing with the engine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from streamguard_ksql.errors import ROW_ERRORS, KsqlError
from streamguard_ksql.expressions.compiler import Compiler
from streamguard_ksql.expressions.scope import Scope
from streamguard_ksql.parser import parse_expression, parse_type
from streamguard_ksql.schema import Column
from tests.streamguard_ksql.differential.examples import values
from tests.streamguard_ksql.differential.reading import READINGS, NoValue, Silent
from tests.streamguard_ksql.differential.terms import (
    COLUMNS,
    ELEMENTS,
    RECORDED,
    SCALARS,
    SIGNATURES,
    Signature,
    Term,
    term,
)

SCOPE = Scope(tuple(Column(name, parse_type(kind.replace(",", ", "))) for name, kind in COLUMNS.items()))
KINDS = (*SCALARS, *(f"ARRAY<{kind}>" for kind in ELEMENTS), *(f"MAP<STRING,{kind}>" for kind in ELEMENTS))
UNORDERED = ("MAP_KEYS", "MAP_VALUES")
"""What gives the entries of a map in an order of which the manual is silent."""
CONSUMED = ("ARRAY_SORT", "CONCAT")
"""What changes its argument, or reads bytes to their end, as recorded: other uses of a column see that."""


@st.composite
def examples(draw: Any) -> tuple[Term, dict[str, Any]]:
    """An expression with a row of the columns that it uses."""
    made = term(draw, draw(st.sampled_from(KINDS)), draw(st.integers(1, 3)))
    row = {name: draw(values(kind)) for name, kind in COLUMNS.items() if name in made.sql}
    return made, row


def by_manual(made: Term, row: Mapping[str, Any]) -> Any:
    try:
        return made.read(row)
    except NoValue:
        return None
    except Silent:
        assume(False)


def by_engine(made: Term, row: Mapping[str, Any]) -> Any:
    function = Compiler(SCOPE).function(parse_expression(made.sql))
    try:
        return function([_copied(row.get(name)) for name in COLUMNS])
    except ROW_ERRORS:
        return None


def _copied(value: Any) -> Any:
    return list(value) if isinstance(value, list) else dict(value) if isinstance(value, dict) else value


def alike(ours: Any, theirs: Any) -> bool:
    """Equal, and of the same type; a double up to the last digits, which a reading may compute in another order."""
    if isinstance(theirs, float) and isinstance(ours, float):
        return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-300) or (ours != ours and theirs != theirs)
    if isinstance(theirs, list) and isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(alike, ours, theirs))
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(alike(ours[key], theirs[key]) for key in ours)
    if isinstance(theirs, Decimal) and isinstance(ours, Decimal):
        return ours == theirs
    return type(ours) is type(theirs) and bool(ours == theirs)


def check(example: tuple[Term, dict[str, Any]]) -> None:
    made, row = example
    assume(not any(name in made.sql for name in UNORDERED))
    if any(name in made.sql for name in CONSUMED):
        assume(all(made.sql.count(name) < 2 for name, kind in COLUMNS.items() if kind == "BYTES" or kind[:3] == "ARR"))
    expected = by_manual(made, row)
    try:
        found = by_engine(made, row)
    except KsqlError as error:
        raise AssertionError(f"{made.sql}\nis refused: {error}") from None
    assert alike(found, expected), f"{made.sql}\nover {row}\nis {found!r}, by the manual {expected!r}"


LOOSE = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    print_blob=True,
)


@settings(LOOSE, max_examples=700, derandomize=True)
@given(examples())
def test_expressions(example: tuple[Term, dict[str, Any]]) -> None:
    check(example)


@pytest.mark.soak
@settings(LOOSE, max_examples=20_000)
@given(examples())
def test_many_expressions(example: tuple[Term, dict[str, Any]]) -> None:
    check(example)


def test_every_function_is_read() -> None:
    assert {s.name for s in SIGNATURES} == READINGS.keys()


WIDER = {
    "INT": ("BIGINT", "DECIMAL(12,3)", "DOUBLE"),
    "BIGINT": ("DECIMAL(12,3)", "DOUBLE"),
    "DECIMAL(12,3)": ("DOUBLE",),
}
"""What a number can be coerced to."""
UNSAID = {("STRING", time) for time in ("DATE", "TIME", "TIMESTAMP")} | {("DATE", "TIMESTAMP"), ("TIMESTAMP", "DATE")}
TYPES = (*SCALARS, "ARRAY<INT>", "ARRAY<STRING>", "MAP<STRING,INT>")
NAMES = sorted({s.name for s in SIGNATURES if not any(p[:6] in ("LAMBDA", "INTERV") for p in s.parameters)})


def takes(signature: Signature, kinds: tuple[str, ...]) -> bool:
    """Whether a call of these types may be one of the signature: numbers widen, a type variable is one type."""
    parameters = signature.parameters
    if signature.variadic:
        parameters += parameters[-1:] * (len(kinds) - len(parameters))
        parameters = parameters[: max(len(kinds), len(signature.parameters) - 1)]
    bound: dict[str, set[str]] = {}
    for parameter, kind in zip(parameters, kinds, strict=False):
        outer, _, variable = parameter.rpartition("<")
        if variable.rstrip(">") in ("T", "STRING,T"):
            if not kind.startswith(outer):
                return False
            bound.setdefault("T", set()).add(kind[len(outer) + 1 : -1].removeprefix("STRING,") if outer else kind)
        elif not (kind == parameter or parameter in WIDER.get(kind, ()) or (kind, parameter) in UNSAID):
            return False
    found = bound.get("T", set())
    return len(parameters) == len(kinds) and (len(found) < 2 or found <= {*WIDER, "DOUBLE"})


@settings(LOOSE, max_examples=250, derandomize=True)
@given(st.sampled_from(NAMES), st.lists(st.sampled_from(TYPES), max_size=5).map(tuple))
def test_wrong_types_are_refused(name: str, kinds: tuple[str, ...]) -> None:
    if any(takes(s, kinds) for s in RECORDED if s.name == name):
        return
    columns = [next(c for c, k in COLUMNS.items() if k == kind) for kind in kinds]
    with pytest.raises(KsqlError):
        Compiler(SCOPE).compile(parse_expression(f"{name}({', '.join(columns)})"))
