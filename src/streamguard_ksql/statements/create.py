"""CREATE STREAM and CREATE TABLE, with columns or AS SELECT."""

from __future__ import annotations

from streamguard_ksql import ast
from streamguard_ksql.errors import SqlSyntaxError
from streamguard_ksql.formatter import (
    format_columns,
    format_properties,
    format_query,
    quote,
    words_if,
)
from streamguard_ksql.parsing import checks
from streamguard_ksql.parsing.lexer import Token
from streamguard_ksql.server.execution import submit
from streamguard_ksql.statements.registry import builds, executes, prints

executes(ast.CreateSource, ast.CreateAsSelect)(submit)


@builds("create")
def _create(
    or_replace: bool,
    is_source: bool,
    kind: str,
    if_not_exists: bool,
    name: Token,
    columns: tuple[ast.ColumnDef, ...],
    properties: ast.Properties,
    as_query: tuple[Token, ast.Query] | None,
) -> ast.Statement:
    if as_query is None:
        checks.check_source(kind, columns, properties)
        return ast.CreateSource(kind, name.value, columns, properties, or_replace, if_not_exists, is_source=is_source)
    if columns or is_source:
        token = as_query[0]
        raise SqlSyntaxError(f"line {token.location.line}:{token.location.column}: Syntax Error\nExpecting ';'")
    return ast.CreateAsSelect(kind, name.value, properties, as_query[1], or_replace, if_not_exists)


@prints(ast.CreateSource)
def _(statement: ast.CreateSource) -> str:
    start = _start(statement, words_if(statement.is_source, "SOURCE "))
    columns = f" ({format_columns(statement.columns)})" if statement.columns else ""
    return f"{start}{columns}{format_properties(statement.properties)}"


@prints(ast.CreateAsSelect)
def _(statement: ast.CreateAsSelect) -> str:
    return f"{_start(statement)}{format_properties(statement.properties)} AS {format_query(statement.query)}"


def _start(statement: ast.CreateSource | ast.CreateAsSelect, source: str = "") -> str:
    replace = words_if(statement.or_replace, "OR REPLACE ")
    guard = words_if(statement.if_not_exists, "IF NOT EXISTS ")
    return f"CREATE {replace}{source}{statement.kind} {guard}{quote(statement.name)}"
