"""Queries and the clauses of statements as text, exactly as ksqlDB prints them (properties by name)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from streamguard_ksql import ast
from streamguard_ksql.parsing.format_expressions import (
    format_base,
    format_expression,
    format_text,
    format_type,
    format_value,
    quote,
)
from streamguard_ksql.parsing.keywords import RESERVED
from streamguard_ksql.statements.registry import prints

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_@]*")

# --- queries ----------------------------------------------------------------------------------------------------------


def format_query(query: ast.Query) -> str:
    """A SELECT, without semicolon: one item stays on the line, several get a line each."""
    items = [_select_item(item) for item in query.select]
    select = f" {items[0]}" if len(items) == 1 else "\n  " + ",\n  ".join(items)
    clauses = [f"SELECT{select}", f"FROM {_relation(query.source)}"]
    if query.window:
        clauses.append(f"WINDOW {_window(query.window)} ")
    if query.where:
        clauses.append(f"WHERE {format_expression(query.where)}")
    if query.group_by:
        clauses.append(f"GROUP BY {format_expressions(query.group_by)}")
    if query.partition_by:
        clauses.append(f"PARTITION BY {format_expressions(query.partition_by)}")
    if query.having:
        clauses.append(f"HAVING {format_expression(query.having)}")
    if query.emit:
        clauses.append(f"EMIT {query.emit}")
    if query.limit is not None:
        clauses.append(f"LIMIT {query.limit}")
    return "\n".join(clauses)


def format_expressions(nodes: Iterable[ast.Expression]) -> str:
    """`a, b`"""
    return ", ".join(map(format_expression, nodes))


def _select_item(item: ast.SelectItem | ast.SelectAll | ast.SelectStructAll) -> str:
    if isinstance(item, ast.SelectAll):
        return "*" if item.source is None else f"{quote(item.source)}.*"
    if isinstance(item, ast.SelectStructAll):
        return f"{format_base(item.expression)}->*"
    alias = "" if item.alias is None else f" {quote(item.alias)}"
    return format_expression(item.expression) + alias


_JOINS = {"INNER": "INNER JOIN", "LEFT": "LEFT OUTER JOIN", "RIGHT": "RIGHT OUTER JOIN", "OUTER": "FULL OUTER JOIN"}


def _relation(relation: ast.Relation) -> str:
    if isinstance(relation, ast.Source):
        return f"{quote(relation.name)} {quote(relation.alias)}"
    if not isinstance(relation, ast.Join):
        raise TypeError(f"{type(relation).__name__} has no SQL text")
    within = "" if relation.within is None else f" {_within(relation.within)}"
    criteria = format_expression(relation.criteria)
    left, right = _relation(relation.left), _relation(relation.right)
    return f"{left}\n{_JOINS[relation.kind]} {right}{within} ON ({criteria})"


def _within(within: ast.Within) -> str:
    before, after = format_duration(within.before), format_duration(within.after)
    grace = "" if within.grace is None else f" GRACE PERIOD {format_duration(within.grace)}"
    return f"WITHIN {before if before == after else f'({before}, {after})'}{grace}"


def _window(window: ast.Window) -> str:
    size = format_duration(window.size)
    parts = [size if window.kind == "SESSION" else f"SIZE {size}"]
    if window.advance:
        parts.append(f"ADVANCE BY {format_duration(window.advance)}")
    if window.retention:
        parts.append(f"RETENTION {format_duration(window.retention)}")
    if window.grace:
        parts.append(f"GRACE PERIOD {format_duration(window.grace)}")
    return f"{window.kind} ( {' , '.join(parts)} )"


def format_duration(duration: ast.Duration) -> str:
    return f"{duration.value} {duration.unit}"


# --- statements -------------------------------------------------------------------------------------------------------


def format_statement(statement: ast.Statement) -> str:
    """A statement with its semicolon; what comes before it is printed by the statement's module in `statements`."""
    return f"{format_inner(statement)};"


def format_inner(statement: ast.Statement) -> str:
    """A statement without semicolon, as in EXPLAIN."""
    printer = prints.find(type(statement))
    if printer is None:
        raise TypeError(f"{type(statement).__name__} has no SQL text")
    text: str = printer(statement)
    return text


def format_properties(properties: ast.Properties) -> str:
    """` WITH (A='b', C=1)`, sorted by name; nothing where there are none."""
    if not properties:
        return ""
    entries = (f"{_property_name(name)}={format_value(properties[name])}" for name in sorted(properties))
    return f" WITH ({', '.join(entries)})"


def _property_name(name: str) -> str:
    return name if quote(name) == name else format_text(name)


def format_columns(columns: Iterable[ast.ColumnDef]) -> str:
    """`A INTEGER KEY, B STRING`, without parentheses."""
    return ", ".join(map(_column, columns))


def _column(column: ast.ColumnDef) -> str:
    constraint = "" if column.constraint is None else f" {column.constraint}"
    header = "" if column.header_key is None else f"({format_text(column.header_key)})"
    return f"{quote(column.name)} {format_type(column.type)}{constraint}{header}"


def format_topic(name: str) -> str:
    """A topic keeps its case even without quotes."""
    plain = _WORD.fullmatch(name) and name.upper() not in RESERVED
    return name if plain else "`" + name.replace("`", "``") + "`"


def format_names(names: Iterable[str]) -> str:
    """` (A, B)`; nothing where there are none."""
    listed = ", ".join(map(quote, names))
    return f" ({listed})" if listed else ""


def format_query_id(query_id: str | None) -> str:
    return "ALL" if query_id is None else quote(query_id)


def format_timeout(timeout: ast.Duration | None) -> str:
    return "" if timeout is None else f" TIMEOUT {format_duration(timeout)}"


def words_if(condition: bool, words: str) -> str:
    return words if condition else ""
