"""Random SQL expressions, each with its reading.

A term is made for a type: a column, a literal, an operator or a function whose recorded signature gives that type. Every term
has its SQL text and, beside it, what it is worth by the manual, as a function of the row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.streamguard_ksql.differential import collections, encodings, numbers, patterns, texts, times  # noqa: F401
from tests.streamguard_ksql.differential.examples import DOMAINS, LITERALS, PRIMITIVES
from tests.streamguard_ksql.differential.reading import INT, READINGS
from tests.support.recordings import recording

Row = Mapping[str, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]
SCALARS = tuple(PRIMITIVES)
ELEMENTS = ("INT", "BIGINT", "DOUBLE", "STRING", "DECIMAL(12,3)", "BOOLEAN", "DATE")
UNKNOWN = {"RANDOM", "UUID()", "UNIX_DATE()", "UNIX_TIMESTAMP()"}
"""What gives another value each time."""


PRIMITIVE_ONLY = ("ARRAY_MIN", "ARRAY_MAX", "ARRAY_SORT")


@dataclass(frozen=True)
class Term:
    """An expression: its text, its type, and what it is worth in a row."""

    sql: str
    kind: str
    read: Callable[[Row], Any]


@dataclass(frozen=True)
class Signature:
    """How a function was recorded."""

    name: str
    parameters: tuple[str, ...]
    variadic: bool
    returns: str


def _signatures() -> list[Signature]:
    found = []
    for name, function in recording("functions.json").items():
        if function["kind"] == "SCALAR":
            for s in function["signatures"]:
                kinds = tuple(_kind(a["type"]) for a in s["arguments"])
                variadic = any(a.get("variadic") for a in s["arguments"])
                found.append(Signature(name, kinds, variadic, _kind(s["returns"])))
    return found


def _kind(text: str) -> str:
    return re.sub(r"\bDECIMAL\b", "DECIMAL(12,3)", text.replace("VARCHAR", "STRING")).replace(", ", ",")


RECORDED = _signatures()
SIGNATURES = [s for s in RECORDED if s.name not in UNKNOWN and f"{s.name}({''.join(s.parameters)})" not in UNKNOWN]
COLUMNS = {
    **{f"{kind[:3]}{i}": kind for kind in ("INT", "BIGINT", "DOUBLE", "STRING", "BYTES") for i in (1, 2)},
    "DEC1": "DECIMAL(12,3)",
    "DEC2": "DECIMAL(12,3)",
    "BOO1": "BOOLEAN",
    "DAY1": "DATE",
    "TIM1": "TIME",
    "STA1": "TIMESTAMP",
    **{f"ARR_{kind[:3]}{i}": f"ARRAY<{kind}>" for kind in ELEMENTS for i in (1, 2)},
    **{f"MAP_{kind[:3]}{i}": f"MAP<STRING,{kind}>" for kind in ELEMENTS for i in (1, 2)},
}


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def constant(value: Any, sql: str, kind: str) -> Term:
    return Term(sql, kind, lambda row: value)


def _column(name: str, kind: str) -> Term:
    return Term(name, kind, lambda row: row[name])


def literal(draw: Draw, kind: str) -> Term:
    """NULL of a type, or a literal."""
    if kind in ("INT", "STRING", "BOOLEAN") and draw(st.integers(0, 3)):
        value = draw(PRIMITIVES[kind])
        if value == -INT:
            return constant(None, "CAST(NULL AS INT)", kind)
        if kind == "STRING":
            return constant(value, quoted(value), kind)
        return constant(value, f"({value})" if kind == "INT" else str(value), kind)
    if kind == "ARRAY<INT>":
        return constant([2, 1, 2], "ARRAY[2, 1, 2]", kind)
    return constant(None, f"CAST(NULL AS {kind.replace(',', ', ')})", kind)


def term(draw: Draw, kind: str, depth: int, columns: Mapping[str, str] = COLUMNS) -> Term:
    """A term of a type, of so many levels at most."""
    from tests.streamguard_ksql.differential.operators import operators_for

    fitting = [name for name, k in columns.items() if k == kind]
    choices: list[Callable[[], Term]] = []
    if fitting:
        choices += [lambda: _column(draw(st.sampled_from(fitting)), kind)] * 2
    if depth > 0:
        functions = [s for s in SIGNATURES if _bound(s, kind) is not None]
        if functions:
            choices += [lambda: call(draw, draw(st.sampled_from(functions)), kind, depth, columns)] * 4
        choices += [lambda o=o: o(draw, kind, depth - 1, columns) for o in operators_for(kind)]  # type: ignore[misc]
    choices.append(lambda: literal(draw, kind))
    return draw(st.sampled_from(choices))()  # type: ignore[no-any-return]


def _item(kind: str, returns: str) -> str:
    return kind if returns == "T" else kind[6:-1]


def _bound(signature: Signature, kind: str) -> dict[str, str] | None:
    """The type variables of a signature that gives a type; None if it does not."""
    returns = signature.returns
    if signature.name in ("ROUND", "CEIL", "FLOOR", "TRUNC", "GREATEST", "LEAST") and "DEC" in returns:
        return None
    if signature.name in PRIMITIVE_ONLY and ("<" in _item(kind, signature.returns) or kind == "BYTES"):
        return None
    if returns in "TSKVR":
        return {returns: kind}
    if returns == kind:
        return {}
    shape = re.escape(returns).replace("<R,", "<STRING,").replace("<K,", "<STRING,")
    match = re.fullmatch(re.sub(r"\b([TSVR])\b", r"(?P<\1>.+)", shape), kind)
    return match.groupdict() if match else None


def call(draw: Draw, signature: Signature, kind: str, depth: int, columns: Mapping[str, str]) -> Term:
    """A call of a function that gives a type."""
    bound = {"K": "STRING", **({"R": "STRING"} if kind.startswith("MAP") else {}), **(_bound(signature, kind) or {})}
    parameters = list(signature.parameters)
    if signature.variadic:
        parameters += [parameters[-1]] * draw(st.integers(0, 2))
    arguments: list[Term] = []
    for place, parameter in enumerate(parameters):
        arguments.append(_argument(draw, signature.name, place, parameter, bound, depth - 1, columns))
    return called(signature.name, arguments, kind)


def called(name: str, arguments: Sequence[Term], kind: str) -> Term:
    kinds = [a.kind for a in arguments]
    return Term(
        f"{name}({', '.join(a.sql for a in arguments)})",
        kind,
        lambda row: READINGS[name](kinds, *[a.read(row) for a in arguments]),
    )


def _argument(
    draw: Draw, name: str, place: int, parameter: str, bound: dict[str, str], depth: int, columns: Mapping[str, str]
) -> Term:
    if parameter == "INTERVAL UNIT":
        unit = draw(st.sampled_from(sorted(times.UNITS)))
        return constant(unit, unit, "UNIT")
    if parameter.startswith("LAMBDA"):
        return _lambda(draw, parameter, bound, depth, columns)
    if (name, place) in LITERALS:
        text = draw(st.sampled_from(LITERALS[name, place]))
        return constant(text, quoted(text), "STRING")
    kind = _filled(draw, parameter, bound, name)
    if kind == "STRING" and (name, place) in DOMAINS and draw(st.integers(0, 5)):
        text = draw(st.sampled_from(DOMAINS[name, place]))
        return constant(text, quoted(text), "STRING")
    return term(draw, kind, depth, columns)


def _filled(draw: Draw, parameter: str, bound: dict[str, str], name: str) -> str:
    """The type of a parameter, with its type variables bound."""

    def of(match: re.Match[str]) -> str:
        variable = match[0]
        if variable not in bound:
            bound[variable] = "STRING" if variable == "K" else draw(st.sampled_from(ELEMENTS))
        return bound[variable]

    return re.sub(r"\b[TSKVR]\b", of, parameter)


def _lambda(draw: Draw, parameter: str, bound: dict[str, str], depth: int, columns: Mapping[str, str]) -> Term:
    """A lambda over its arguments and the columns."""
    taken, given = re.fullmatch(r"LAMBDA \((.*)\) => (\w+)", parameter).groups()  # type: ignore[union-attr]
    names = [f"X{len(columns)}{i}" for i in range(len(taken.split(",")))]
    kinds = [_filled(draw, variable, bound, "") for variable in taken.split(",")]
    result = _filled(draw, given, bound, "")
    body = term(draw, result, depth, {**columns, **dict(zip(names, kinds, strict=True))})
    sql = f"({', '.join(names)}) => {body.sql}" if len(names) > 1 else f"{names[0]} => {body.sql}"
    return Term(sql, "LAMBDA", lambda row: lambda *values: body.read({**row, **dict(zip(names, values, strict=True))}))
