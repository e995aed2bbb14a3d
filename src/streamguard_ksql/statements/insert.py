"""INSERT INTO ... SELECT and INSERT INTO ... VALUES."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.ddl.normal import qualified
from streamguard_ksql.ddl.properties import check_names
from streamguard_ksql.ddl.sources import fitted_to
from streamguard_ksql.engine import Engine, Outcome
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.formatter import (
    format_expressions,
    format_names,
    format_properties,
    format_query,
    format_statement,
    quote,
)
from streamguard_ksql.inserts import insert_values_record
from streamguard_ksql.parsing.lexer import Token
from streamguard_ksql.refusals import looking_up
from streamguard_ksql.server.entities import Entity
from streamguard_ksql.server.execution import Context, submit_query
from streamguard_ksql.statements.registry import applies, builds, command_ids, executes, prints

executes(ast.InsertInto)(submit_query)


@builds("insert_select")
def _insert_select(target: Token, properties: ast.Properties, query: ast.Query) -> ast.InsertInto:
    return ast.InsertInto(target.value, properties, query, target_location=target.location)


@prints(ast.InsertInto)
def _(statement: ast.InsertInto) -> str:
    properties = format_properties(statement.properties)
    return f"INSERT INTO {quote(statement.target)}{properties} {format_query(statement.query)}"


@command_ids(ast.InsertInto)
def _command_id(statement: ast.InsertInto, outcome: Outcome | None) -> str:
    return f"stream/`{statement.target}`/create"


@applies(ast.InsertInto)
def _insert_into(engine: Engine, statement: ast.InsertInto, config: Mapping[str, Any]) -> Outcome:
    check_names(statement.properties, frozenset({"QUERY_ID"}))
    target = engine.catalog.find(statement.target)
    if target is None:
        at = statement.target_location
        where = f"Line: {at.line}, Col: {at.column}: " if at else ""
        hint = engine.catalog.hint(statement.target)
        raise looking_up(f"{where}Source `{statement.target}` does not exist.{hint}")
    if target.is_table:
        raise looking_up(f"INSERT INTO can only be used to insert into a stream. {target.name} is a table.")
    if target.read_only:
        raise KsqlError(f"Cannot insert into read-only {target.kind.lower()}: {target.name}")
    if target.schema.headers:
        raise KsqlError(f"Cannot insert into {target.name} because it has header columns")
    query_id = _insert_id(engine, statement)
    planned = engine.plan(statement, statement.query, target.name, config)
    if planned.is_table:
        raise KsqlError(
            f"Incompatible data sink and query result. Data sink ({target.name}) type is KSTREAM but select query "
            "result is KTABLE."
        )
    planned = fitted_to(planned, target)
    sql = statement.text or format_statement(qualified(statement, planned))
    query = engine.register(query_id, sql, planned, target, config, creates=False)
    return Outcome(f"Created query with ID {query_id}", sql, query=query)


def _insert_id(engine: Engine, statement: ast.InsertInto) -> str:
    given = statement.properties.get("QUERY_ID")
    if given is None:
        return f"INSERTQUERY_{engine.next_number}"
    query_id = str(given).upper()
    if query_id in engine.queries:
        raise KsqlError(f"Query ID '{query_id}' already exists.")
    return query_id


# --- INSERT INTO ... VALUES -------------------------------------------------------------------------------------------


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
        config, catalog = {**runtime.engine.config, **context.properties}, runtime.engine.catalog.copy()
    try:
        with runtime.bounded("INSERT VALUES"):
            record = insert_values_record(statement, catalog, config, context.server.clock_ms)
    except KsqlError as error:
        error.statement = _masked(statement)
        raise
    runtime.insert(record)
    return []


def _masked(statement: ast.InsertValues) -> str:
    """The statement as refusals show it: without its values."""
    columns = f" ({', '.join(f'`{name}`' for name in statement.columns)})" if statement.columns else ""
    values = ", ".join(["'[value]'"] * len(statement.values))
    return f"INSERT INTO `{statement.target}`{columns} VALUES ({values});"
