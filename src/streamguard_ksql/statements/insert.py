"""INSERT INTO ... SELECT and INSERT INTO ... VALUES."""

from __future__ import annotations

from streamguard_ksql import ast
from streamguard_ksql.formatter import (
    format_expressions,
    format_names,
    format_properties,
    format_query,
    quote,
)
from streamguard_ksql.inserts import insert_values_record
from streamguard_ksql.parsing.lexer import Token
from streamguard_ksql.server.entities import Entity
from streamguard_ksql.server.execution import Context, submit
from streamguard_ksql.statements.registry import builds, executes, prints

executes(ast.InsertInto)(submit)


@builds("insert_select")
def _insert_select(target: Token, properties: ast.Properties, query: ast.Query) -> ast.InsertInto:
    return ast.InsertInto(target.value, properties, query)


@prints(ast.InsertInto)
def _(statement: ast.InsertInto) -> str:
    properties = format_properties(statement.properties)
    return f"INSERT INTO {quote(statement.target)}{properties} {format_query(statement.query)}"


@builds("insert_values")
def _insert_values(target: Token, columns: tuple[str, ...], values: tuple[ast.Expression, ...]) -> ast.InsertValues:
    return ast.InsertValues(target.value, columns, values)


@prints(ast.InsertValues)
def _(statement: ast.InsertValues) -> str:
    values = format_expressions(statement.values)
    return f"INSERT INTO {quote(statement.target)}{format_names(statement.columns)} VALUES ({values})"


@executes(ast.InsertValues)
def _insert(statement: ast.InsertValues, context: Context) -> list[Entity]:
    runtime = context.runtime
    with runtime.lock:
        config = {**runtime.engine.config, **context.properties}
        record = insert_values_record(statement, runtime.engine.catalog, config, context.server.clock_ms)
    runtime.insert(record)
    return []
