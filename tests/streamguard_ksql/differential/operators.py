"""Random operators with their readings: arithmetic, comparison, conditions, CASE, CAST, subscripts, constructors.

A comparison with NULL is false; arithmetic, LIKE and conditions of NULL have no value, and neither has what is around them;
text plus NULL has the text `null` in it: as recorded in tests/recordings/queries.json.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from hypothesis import strategies as st

from tests.streamguard_ksql.differential.reading import (
    BIGINT,
    INT,
    NoValue,
    as_text,
    compared,
    equal,
    need,
    value_if,
    wrapped,
)
from tests.streamguard_ksql.differential.terms import Draw, Term, quoted, term

Columns = Mapping[str, str]
COMPARED = ("INT", "BIGINT", "DOUBLE", "STRING", "DATE", "TIMESTAMP", "DECIMAL(12,3)", "TIME")
ORDER: dict[str, Callable[[int], bool]] = {
    "=": lambda c: c == 0,
    "<>": lambda c: c != 0,
    "<": lambda c: c < 0,
    "<=": lambda c: c <= 0,
    ">": lambda c: c > 0,
    ">=": lambda c: c >= 0,
}
LIKES = ("%a%", "a_c%", "", "%", "a!%%", "_", "%World")


def _wide(a: Any, b: Any) -> int:
    """The order of two values of which one may have a wider type."""
    if isinstance(a, float) or isinstance(b, float):
        need(not isinstance(a, Decimal) and not isinstance(b, Decimal))
        need(a == a and b == b and (a != 0 or b != 0))
        return compared(float(a), float(b))
    return compared(a, b)


def _all_of(row: Any, *terms: Term) -> list[Any]:
    """The values of operands; nobody says whether one is evaluated that no longer matters."""
    found, decided = [], False
    for operand in terms:
        try:
            found.append(operand.read(row))
        except NoValue:
            need(not decided)
            raise
        decided = decided or len(terms) > 2 or found[-1] is None
    return found


def or_null(operand: Term, row: Any) -> Any:
    """An element of what is made of several: one that fails is NULL."""
    try:
        return operand.read(row)
    except NoValue:
        return None


def comparison(draw: Draw, kind: str, depth: int, columns: Columns) -> Term:
    of = draw(st.sampled_from(COMPARED))
    other = draw(st.sampled_from(["INT", "BIGINT", of])) if of in ("INT", "BIGINT", "DOUBLE") else of
    a, b = term(draw, of, depth, columns), term(draw, other, depth, columns)
    sign = draw(st.sampled_from(sorted(ORDER)))

    def read(row: Any) -> bool:
        x, y = _all_of(row, a, b)
        return x is not None and y is not None and ORDER[sign](_wide(x, y))

    return Term(f"({a.sql} {sign} {b.sql})", "BOOLEAN", read)


def between(draw: Draw, kind: str, depth: int, columns: Columns) -> Term:
    of = draw(st.sampled_from(COMPARED))
    a, low, high = (term(draw, of, depth, columns) for _ in range(3))
    negated = draw(st.booleans())

    def read(row: Any) -> bool:
        x, y, z = _all_of(row, a, low, high)
        inside = None not in (x, y) and _wide(x, y) >= 0 and z is not None and _wide(x, z) <= 0
        return inside is not negated

    return Term(f"({a.sql} {'NOT ' if negated else ''}BETWEEN {low.sql} AND {high.sql})", "BOOLEAN", read)


def is_in(draw: Draw, kind: str, depth: int, columns: Columns) -> Term:
    of = draw(st.sampled_from(("INT", "STRING", "BIGINT")))
    a, *others = (term(draw, of, depth, columns) for _ in range(4))

    def read(row: Any) -> bool:
        wanted, *found = _all_of(row, a, *others)
        return wanted is not None and wanted in found

    return Term(f"({a.sql} IN ({', '.join(o.sql for o in others)}))", "BOOLEAN", read)


def is_null(draw: Draw, kind: str, depth: int, columns: Columns) -> Term:
    a = term(draw, draw(st.sampled_from((*COMPARED, "BOOLEAN", "ARRAY<INT>"))), depth, columns)
    negated = draw(st.booleans())
    sql = f"({a.sql} IS {'NOT ' if negated else ''}NULL)"
    return Term(sql, "BOOLEAN", lambda row: (a.read(row) is None) is not negated)


def distinct(draw: Draw, kind: str, depth: int, columns: Columns) -> Term:
    of = draw(st.sampled_from(("INT", "STRING", "DATE")))
    a, b = term(draw, of, depth, columns), term(draw, of, depth, columns)
    return Term(f"({a.sql} IS DISTINCT FROM {b.sql})", "BOOLEAN", lambda row: not equal(a.read(row), b.read(row)))


def _condition(value: Any) -> bool:
    value_if(value is not None)
    return bool(value)


def logic(draw: Draw, kind: str, depth: int, columns: Columns) -> Term:
    a, b = term(draw, "BOOLEAN", depth, columns), term(draw, "BOOLEAN", depth, columns)
    which = draw(st.sampled_from(["AND", "OR", "NOT"]))
    if which == "NOT":
        return Term(f"(NOT {a.sql})", "BOOLEAN", lambda row: not _condition(a.read(row)))
    stop = which == "OR"
    return Term(
        f"({a.sql} {which} {b.sql})",
        "BOOLEAN",
        lambda row: stop if _condition(a.read(row)) is stop else _condition(b.read(row)),
    )


def like(draw: Draw, kind: str, depth: int, columns: Columns) -> Term:
    a, pattern = term(draw, "STRING", depth, columns), draw(st.sampled_from(LIKES))
    escaped = "!" in pattern

    def read(row: Any) -> bool:
        text = a.read(row)
        value_if(text is not None)
        need(all(c < "\ud800" for c in text))
        parts = re.findall(r"!.|.", pattern) if escaped else list(pattern)
        expression = "".join({"%": "(?s:.*)", "_": "(?s:.)"}.get(p, re.escape(p[-1])) for p in parts)
        return re.fullmatch(expression, text) is not None

    return Term(f"({a.sql} LIKE {quoted(pattern)}{' ESCAPE ' + quoted('!') if escaped else ''})", "BOOLEAN", read)


def arithmetic(draw: Draw, kind: str, depth: int, columns: Columns) -> Term:
    other = draw(
        st.sampled_from({"INT": ["INT"], "BIGINT": ["INT", "BIGINT"], "DOUBLE": ["INT", "BIGINT", "DOUBLE"]}[kind])
    )
    a, b = term(draw, kind, depth, columns), term(draw, other, depth, columns)
    sign = draw(st.sampled_from("+-*/%"))

    def read(row: Any) -> Any:
        x, y = a.read(row), b.read(row)
        value_if(x is not None and y is not None)
        if kind == "DOUBLE":
            return _double(float(x), sign, float(y))
        return wrapped(_whole(x, sign, y), kind)

    return Term(f"({a.sql} {sign} {b.sql})", kind, read)


def _whole(x: int, sign: str, y: int) -> int:
    if sign in "/%":
        value_if(y != 0)
        quotient = abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
        return quotient if sign == "/" else x - quotient * y
    return x + y if sign == "+" else x - y if sign == "-" else x * y


def _double(x: float, sign: str, y: float) -> float:
    if sign == "%":
        return math.nan if y == 0 or math.isinf(x) else math.fmod(x, y)
    if sign == "/":
        if y == 0:
            return math.nan if x == 0 or x != x else math.copysign(math.inf, x) * math.copysign(1, y)
        return x / y
    return x + y if sign == "+" else x - y if sign == "-" else x * y


def negation(draw: Draw, kind: str, depth: int, columns: Columns) -> Term:
    a = term(draw, kind, depth, columns)

    def read(row: Any) -> Any:
        value = a.read(row)
        value_if(value is not None)
        return -value if kind == "DOUBLE" else wrapped(-value, kind)

    return Term(f"(-{a.sql})", kind, read)


def case(draw: Draw, kind: str, depth: int, columns: Columns) -> Term:
    when, a, b = (
        term(draw, "BOOLEAN", depth, columns),
        term(draw, kind, depth, columns),
        term(draw, kind, depth, columns),
    )
    return Term(
        f"(CASE WHEN {when.sql} THEN {a.sql} ELSE {b.sql} END)",
        kind,
        lambda row: a.read(row) if _condition(when.read(row)) else b.read(row),
    )


def plus(draw: Draw, kind: str, depth: int, columns: Columns) -> Term:
    a, b = term(draw, "STRING", depth, columns), term(draw, "STRING", depth, columns)
    return Term(
        f"({a.sql} + {b.sql})", kind, lambda row: as_text(a.read(row), "STRING") + as_text(b.read(row), "STRING")
    )


def cast(draw: Draw, kind: str, depth: int, columns: Columns) -> Term:
    sources = {
        "STRING": ("INT", "BIGINT", "DOUBLE", "BOOLEAN", "DECIMAL(12,3)"),
        "BOOLEAN": ("STRING",),
        "DECIMAL(12,3)": ("INT", "BIGINT", "DOUBLE"),
    }.get(kind, ("INT", "BIGINT", "DOUBLE", "DECIMAL(12,3)", "STRING"))
    a = term(draw, draw(st.sampled_from(sources)), depth, columns)

    def read(row: Any) -> Any:
        value = a.read(row)
        return None if value is None else _cast(value, a.kind, kind)

    return Term(f"CAST({a.sql} AS {kind.replace(',', ', ')})", kind, read)


def _cast(value: Any, source: str, kind: str) -> Any:
    if kind == "STRING":
        return as_text(value, source)
    if kind == "BOOLEAN":
        return value.strip().lower() == "true"
    if source == "STRING":
        return _from_text(value, kind)
    if kind == "DOUBLE":
        return float(value)
    if kind.startswith("DECIMAL"):
        need(not isinstance(value, float) or math.isfinite(value))
        exact = Decimal(repr(value) if isinstance(value, float) else value)
        value_if(abs(exact) < 10**9 + 1)
        result = exact.quantize(Decimal("0.001"), ROUND_HALF_UP)
        value_if(abs(result) < 10**9)
        return result
    limit = INT if kind == "INT" else BIGINT
    if isinstance(value, float):
        return 0 if value != value else int(max(-limit, min(limit - 1, value if math.isinf(value) else int(value))))
    return wrapped(int(value), kind)


def _from_text(text: str, kind: str) -> Any:
    need(text == text.strip() and text.isascii() and text.isprintable())
    if kind in ("INT", "BIGINT"):
        value_if(re.fullmatch(r"-?\d+", text))
        limit = INT if kind == "INT" else BIGINT
        value_if(-limit <= int(text) < limit)
        return int(text)
    value_if(re.fullmatch(r"-?\d+(\.\d+)?(E-?\d+)?", text) or (kind == "DOUBLE" and text == "NaN"))
    return float(text)


def element(draw: Draw, kind: str, depth: int, columns: Columns) -> Term:
    """Of an array by its place from 1, or from the end; of a map by its key."""
    if draw(st.booleans()):
        array, place = term(draw, f"ARRAY<{kind}>", depth, columns), draw(st.sampled_from([0, 1, 2, -1, -2, 5]))

        def of_array(row: Any) -> Any:
            value = array.read(row)
            if value is None or not 1 <= abs(place) <= len(value):
                return None
            return value[place - 1] if place > 0 else value[place]

        return Term(f"{array.sql}[{place}]", kind, of_array)
    of, key = term(draw, f"MAP<STRING,{kind}>", depth, columns), draw(st.sampled_from(["a", "", "z"]))
    return Term(f"{of.sql}[{quoted(key)}]", kind, lambda row: (of.read(row) or {}).get(key))


def array(draw: Draw, kind: str, depth: int, columns: Columns) -> Term:
    items = [term(draw, kind[6:-1], depth, columns) for _ in range(draw(st.integers(1, 3)))]
    return Term(f"ARRAY[{', '.join(i.sql for i in items)}]", kind, lambda row: [or_null(i, row) for i in items])


def made_map(draw: Draw, kind: str, depth: int, columns: Columns) -> Term:
    a, b = (term(draw, kind[11:-1], depth, columns) for _ in range(2))
    return Term(f"MAP('a' := {a.sql}, 'q' := {b.sql})", kind, lambda row: {"a": or_null(a, row), "q": or_null(b, row)})


Operator = Callable[[Draw, str, int, Columns], Term]


def operators_for(kind: str) -> list[Operator]:
    """The operators that give a type."""
    found: list[Operator] = [case]
    if kind == "BOOLEAN":
        found += [comparison, between, is_in, is_null, distinct, logic, like, cast]
    if kind in ("INT", "BIGINT", "DOUBLE"):
        found += [arithmetic, arithmetic, negation, cast]
    if kind == "STRING":
        found += [plus, cast]
    if kind == "DECIMAL(12,3)":
        found.append(cast)
    if kind.startswith("ARRAY<"):
        found.append(array)
    if kind.startswith("MAP<"):
        found.append(made_map)
    if kind in ("INT", "BIGINT", "DOUBLE", "STRING", "DATE", "BOOLEAN", "DECIMAL(12,3)"):
        found.append(element)
    return found
