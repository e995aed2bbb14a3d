"""Expressions, types and literals as text, exactly as ksqlDB prints them."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import singledispatch
from typing import Any

from streamguard_ksql import ast, types
from streamguard_ksql.parsing.keywords import RESERVED

_PLAIN = re.compile(r"[A-Z][A-Z0-9_@]*")
_TWO_MEANINGS = frozenset({"ALL", "ARRAY", "STREAMS", "TABLES"})
"""Not reserved, but read as keywords where ksqlDB prints a name: `ARRAY[1]`, `DESCRIBE TABLES`, `TERMINATE ALL`."""


def quote(name: str) -> str:
    """An identifier: in backticks unless it is plain upper case and no keyword."""
    if _PLAIN.fullmatch(name) and name not in RESERVED and name not in _TWO_MEANINGS:
        return name
    return "`" + name.replace("`", "``") + "`"


def format_text(value: str) -> str:
    """A string constant."""
    return "'" + value.replace("'", "''") + "'"


def format_type(sql_type: types.SqlType) -> str:
    """A type as SQL text; field names that need it are quoted."""
    if isinstance(sql_type, types.Array):
        return f"ARRAY<{format_type(sql_type.item)}>"
    if isinstance(sql_type, types.Map):
        return f"MAP<{format_type(sql_type.key)}, {format_type(sql_type.value)}>"
    if isinstance(sql_type, types.Struct):
        return f"STRUCT<{', '.join(f'{quote(name)} {format_type(field)}' for name, field in sql_type.fields)}>"
    if isinstance(sql_type, types.Named):
        return quote(sql_type.name)
    return str(sql_type)


def format_value(value: Any) -> str:
    """A constant: 'text', 1, 1.5 (DECIMAL), 1.5E0 (DOUBLE), true, null."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return format_text(value)
    if isinstance(value, Decimal):
        plain = format(value, "f")
        return plain if "." in plain else f"{plain}."
    return _double(value) if isinstance(value, float) else str(value)


def _double(value: float) -> str:
    """The shortest digits that give the number back, one before the point: 1.5E0, 1E2, 1.7976931348623157E308."""
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    text = "".join(map(str, digits))
    power = len(text) - 1 + int(exponent) if value else 0
    fraction = text[1:].rstrip("0")
    return f"{'-' if sign else ''}{text[0]}{'.' if fraction else ''}{fraction}E{power}"


@singledispatch
def format_expression(node: ast.Expression) -> str:
    """An expression as SQL text; every operator is in parentheses."""
    raise TypeError(f"{type(node).__name__} has no SQL text")


def _list(nodes: tuple[ast.Expression, ...]) -> str:
    return ", ".join(map(format_expression, nodes))


def format_base(node: ast.Expression) -> str:
    """What comes before `[`, `->` or `->*`: a sign would bind less tightly than these."""
    text = format_expression(node)
    return f"({text})" if text[:1] in ("-", "+") else text


@format_expression.register
def _(node: ast.Literal) -> str:
    return format_value(node.value)


@format_expression.register
def _(node: ast.ColumnRef) -> str:
    return quote(node.name) if node.source is None else f"{quote(node.source)}.{quote(node.name)}"


@format_expression.register
def _(node: ast.Dereference) -> str:
    return f"{format_base(node.base)}->{quote(node.field)}"


@format_expression.register
def _(node: ast.Subscript) -> str:
    return f"{format_base(node.base)}[{format_expression(node.index)}]"


@format_expression.register
def _(node: ast.FunctionCall) -> str:
    if node.name == "COUNT" and not node.args:
        return "COUNT(*)"
    return f"{quote(node.name)}({_list(node.args)})"


@format_expression.register
def _(node: ast.LambdaFunction) -> str:
    names = ", ".join(map(quote, node.params))
    return f"{names if len(node.params) == 1 else f'({names})'} => {format_expression(node.body)}"


@format_expression.register
def _(node: ast.IntervalUnit) -> str:
    return node.unit


@format_expression.register
def _(node: ast.Cast) -> str:
    return f"CAST({format_expression(node.operand)} AS {format_type(node.type)})"


_BINARY = (ast.Arithmetic, ast.Comparison, ast.Logical)


@format_expression.register(ast.Arithmetic)
@format_expression.register(ast.Comparison)
@format_expression.register(ast.Logical)
def _(node: ast.Arithmetic | ast.Comparison | ast.Logical) -> str:
    """Long chains lean left: they are unrolled, so that a thousand terms need no deeper stack than one."""
    spine = [node]
    while isinstance(spine[-1].left, _BINARY):
        spine.append(spine[-1].left)
    text = format_expression(spine[-1].left)
    for part in reversed(spine):
        text = f"({text} {part.op} {format_expression(part.right)})"
    return text


@format_expression.register
def _(node: ast.Negation) -> str:
    operand = format_expression(node.operand)
    return f"{node.sign} {operand}" if operand.startswith(node.sign) else f"{node.sign}{operand}"


@format_expression.register
def _(node: ast.Not) -> str:
    return f"(NOT {format_expression(node.operand)})"


@format_expression.register
def _(node: ast.IsNull) -> str:
    return f"({format_expression(node.operand)} IS {'NOT ' if node.negated else ''}NULL)"


@format_expression.register
def _(node: ast.InList) -> str:
    return f"({format_expression(node.operand)} IN ({_list(node.items)}))"


@format_expression.register
def _(node: ast.Between) -> str:
    limits = f"{format_expression(node.low)} AND {format_expression(node.high)}"
    return f"({format_expression(node.operand)} BETWEEN {limits})"


@format_expression.register
def _(node: ast.Like) -> str:
    escape = "" if node.escape is None else f" ESCAPE {format_text(node.escape)}"
    return f"({format_expression(node.operand)} LIKE {format_expression(node.pattern)}{escape})"


@format_expression.register
def _(node: ast.Case) -> str:
    parts = ["CASE"]
    if node.operand is not None:
        parts.append(format_expression(node.operand))
    parts += [f"WHEN {format_expression(when.condition)} THEN {format_expression(when.result)}" for when in node.whens]
    if node.default is not None:
        parts.append(f"ELSE {format_expression(node.default)}")
    return f"({' '.join(parts)} END)"


@format_expression.register
def _(node: ast.CreateArray) -> str:
    return f"ARRAY[{_list(node.items)}]"


@format_expression.register
def _(node: ast.CreateMap) -> str:
    return f"MAP({', '.join(f'{format_expression(key)}:={format_expression(value)}' for key, value in node.items)})"


@format_expression.register
def _(node: ast.CreateStruct) -> str:
    return f"STRUCT({', '.join(f'{quote(name)}:={format_expression(value)}' for name, value in node.items)})"
