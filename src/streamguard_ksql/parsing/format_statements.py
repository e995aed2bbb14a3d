"""Queries and statements as text, exactly as ksqlDB prints them (clauses on their own lines, properties by name)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import singledispatch

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
        clauses.append(f"GROUP BY {_expressions(query.group_by)}")
    if query.partition_by:
        clauses.append(f"PARTITION BY {_expressions(query.partition_by)}")
    if query.having:
        clauses.append(f"HAVING {format_expression(query.having)}")
    if query.emit:
        clauses.append(f"EMIT {query.emit}")
    if query.limit is not None:
        clauses.append(f"LIMIT {query.limit}")
    return "\n".join(clauses)


def _expressions(nodes: Iterable[ast.Expression]) -> str:
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
    """A statement with its semicolon."""
    return f"{_statement(statement)};"


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


def _topic(name: str) -> str:
    """A topic keeps its case even without quotes."""
    plain = _WORD.fullmatch(name) and name.upper() not in RESERVED
    return name if plain else "`" + name.replace("`", "``") + "`"


def _names(names: Iterable[str]) -> str:
    listed = ", ".join(map(quote, names))
    return f" ({listed})" if listed else ""


def _if(condition: bool, words: str) -> str:
    return words if condition else ""


@singledispatch
def _statement(node: ast.Statement) -> str:
    raise TypeError(f"{type(node).__name__} has no SQL text")


_FIXED: dict[type[ast.Statement], str] = {
    ast.ListFunctions: "LIST FUNCTIONS",
    ast.ListProperties: "LIST PROPERTIES",
    ast.ListVariables: "LIST VARIABLES",
    ast.ListTypes: "LIST TYPES",
    ast.ListConnectors: "LIST CONNECTORS",
    ast.ConnectorStatement: "LIST CONNECTOR PLUGINS",
}
for _node_type, _words in _FIXED.items():
    _statement.register(_node_type, lambda _, words=_words: words)


@_statement.register
def _(node: ast.QueryStatement) -> str:
    return format_query(node.query)


@_statement.register
def _(node: ast.CreateSource) -> str:
    replace, source, guard = _if(node.or_replace, "OR REPLACE "), _if(node.is_source, "SOURCE "), _if_not_exists(node)
    columns = f" ({format_columns(node.columns)})" if node.columns else ""
    return f"CREATE {replace}{source}{node.kind} {guard}{quote(node.name)}{columns}{format_properties(node.properties)}"


@_statement.register
def _(node: ast.CreateAsSelect) -> str:
    start = f"CREATE {_if(node.or_replace, 'OR REPLACE ')}{node.kind} {_if_not_exists(node)}{quote(node.name)}"
    return f"{start}{format_properties(node.properties)} AS {format_query(node.query)}"


def _if_not_exists(node: ast.CreateSource | ast.CreateAsSelect | ast.CreateType) -> str:
    return _if(node.if_not_exists, "IF NOT EXISTS ")


@_statement.register
def _(node: ast.InsertInto) -> str:
    return f"INSERT INTO {quote(node.target)}{format_properties(node.properties)} {format_query(node.query)}"


@_statement.register
def _(node: ast.InsertValues) -> str:
    return f"INSERT INTO {quote(node.target)}{_names(node.columns)} VALUES ({_expressions(node.values)})"


@_statement.register
def _(node: ast.DropSource) -> str:
    guard, topic = _if(node.if_exists, "IF EXISTS "), _if(node.delete_topic, " DELETE TOPIC")
    return f"DROP {node.kind} {guard}{quote(node.name)}{topic}"


def _query_id(query_id: str | None) -> str:
    return "ALL" if query_id is None else quote(query_id)


@_statement.register
def _(node: ast.Terminate) -> str:
    return f"TERMINATE {_query_id(node.query_id)}"


@_statement.register
def _(node: ast.Pause) -> str:
    return f"PAUSE {_query_id(node.query_id)}"


@_statement.register
def _(node: ast.Resume) -> str:
    return f"RESUME {_query_id(node.query_id)}"


@_statement.register
def _(node: ast.CreateType) -> str:
    return f"CREATE TYPE {_if_not_exists(node)}{quote(node.name)} AS {format_type(node.type)}"


@_statement.register
def _(node: ast.DropType) -> str:
    return f"DROP TYPE {_if(node.if_exists, 'IF EXISTS ')}{quote(node.name)}"


@_statement.register
def _(node: ast.AlterSource) -> str:
    added = ", ".join(f"ADD COLUMN {_column(column)}" for column in node.columns)
    return f"ALTER {node.kind} {quote(node.name)} {added}"


@_statement.register
def _(node: ast.AlterSystem) -> str:
    return f"ALTER SYSTEM {format_text(node.name)}={format_text(node.value)}"


@_statement.register
def _(node: ast.SetProperty) -> str:
    return f"SET {format_text(node.name)}={format_text(node.value)}"


@_statement.register
def _(node: ast.UnsetProperty) -> str:
    return f"UNSET {format_text(node.name)}"


@_statement.register
def _(node: ast.Define) -> str:
    return f"DEFINE {node.name}={format_text(node.value)}"


@_statement.register
def _(node: ast.Undefine) -> str:
    return f"UNDEFINE {node.name}"


@_statement.register
def _(node: ast.ListStreams) -> str:
    return f"LIST STREAMS{_if(node.extended, ' EXTENDED')}"


@_statement.register
def _(node: ast.ListTables) -> str:
    return f"LIST TABLES{_if(node.extended, ' EXTENDED')}"


@_statement.register
def _(node: ast.ListTopics) -> str:
    return f"LIST {_if(node.all, 'ALL ')}TOPICS{_if(node.extended, ' EXTENDED')}"


@_statement.register
def _(node: ast.ListQueries) -> str:
    return f"LIST QUERIES{_if(node.extended, ' EXTENDED')}"


@_statement.register
def _(node: ast.DescribeSource) -> str:
    return f"DESCRIBE {quote(node.name)}{_if(node.extended, ' EXTENDED')}"


@_statement.register
def _(node: ast.DescribeSources) -> str:
    return f"DESCRIBE {node.kind}S{_if(node.extended, ' EXTENDED')}"


@_statement.register
def _(node: ast.DescribeFunction) -> str:
    return f"DESCRIBE FUNCTION {quote(node.name)}"


@_statement.register
def _(node: ast.Explain) -> str:
    return f"EXPLAIN {_query_id(node.query_id) if node.statement is None else _statement(node.statement)}"


@_statement.register
def _(node: ast.PrintTopic) -> str:
    parts = [f"PRINT {_topic(node.topic)}", *["FROM BEGINNING"] * node.from_beginning]
    parts += [] if node.interval is None else [f"INTERVAL {node.interval}"]
    parts += [] if node.limit is None else [f"LIMIT {node.limit}"]
    return " ".join(parts)


@_statement.register
def _(node: ast.RunScript) -> str:
    return f"RUN SCRIPT {format_text(node.path)}"


# --- assertions -------------------------------------------------------------------------------------------------------


def _timeout(timeout: ast.Duration | None) -> str:
    return "" if timeout is None else f" TIMEOUT {format_duration(timeout)}"


@_statement.register
def _(node: ast.AssertTopic) -> str:
    start = f"ASSERT {_if(not node.exists, 'NOT EXISTS ')}TOPIC {_topic(node.topic)}"
    return f"{start}{format_properties(node.properties)}{_timeout(node.timeout)}"


@_statement.register
def _(node: ast.AssertSchema) -> str:
    subject = "" if node.subject is None else f" SUBJECT {_topic(node.subject)}"
    schema_id = "" if node.schema_id is None else f" ID {node.schema_id}"
    return f"ASSERT {_if(not node.exists, 'NOT EXISTS ')}SCHEMA{subject}{schema_id}{_timeout(node.timeout)}"


@_statement.register
def _(node: ast.AssertValues) -> str:
    start = f"ASSERT {_if(node.tombstone, 'NULL ')}VALUES {quote(node.target)}{_names(node.columns)}"
    return f"{start} {'KEY' if node.tombstone else 'VALUES'} ({_expressions(node.values)})"


@_statement.register
def _(node: ast.AssertSource) -> str:
    columns = f" ({format_columns(node.columns)})" if node.columns else ""
    return f"ASSERT {node.kind} {quote(node.name)}{columns}{format_properties(node.properties)}"
