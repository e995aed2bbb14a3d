"""CREATE TYPE, DROP TYPE, SHOW TYPES."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.engine import Engine, Outcome
from streamguard_ksql.errors import KsqlError, SqlSyntaxError
from streamguard_ksql.formatter import format_type, quote, words_if
from streamguard_ksql.parsing.lexer import Token
from streamguard_ksql.schema import quoted_type
from streamguard_ksql.server import entities
from streamguard_ksql.server.entities import Entity
from streamguard_ksql.server.execution import Context, submit
from streamguard_ksql.statements.registry import applies, builds, command_ids, executes, prints
from streamguard_ksql.types import SqlType

executes(ast.CreateType, ast.DropType)(submit)


@builds("create_type")
def _create_type(
    or_replace: bool, is_source: bool, if_not_exists: bool, name: Token, target: SqlType
) -> ast.CreateType:
    if or_replace or is_source:
        at = name.location
        raise SqlSyntaxError(f"line {at.line}:{at.column}: Syntax Error\nExpecting {{'STREAM', 'TABLE'}}")
    return ast.CreateType(name.value, target, if_not_exists)


@prints(ast.CreateType)
def _(statement: ast.CreateType) -> str:
    guard = words_if(statement.if_not_exists, "IF NOT EXISTS ")
    return f"CREATE TYPE {guard}{quote(statement.name)} AS {format_type(statement.type)}"


@command_ids(ast.CreateType)
def _creation_id(statement: ast.CreateType, outcome: Outcome | None) -> str:
    return f"type/{statement.name}/create"


@applies(ast.CreateType)
def _add_type(engine: Engine, statement: ast.CreateType, config: Mapping[str, Any]) -> Outcome:
    if statement.name in engine.catalog.types:
        known = engine.catalog.types[statement.name]
        message = f"Cannot register custom type '{statement.name}' since it is already registered with type: "
        message += quoted_type(known)
        if statement.if_not_exists:
            return Outcome(message, statement.text, skipped=True)
        raise KsqlError(message)
    resolved = engine.catalog.resolve(statement.type)
    engine.catalog.types[statement.name] = resolved
    message = f"Registered custom type with name '{statement.name}' and SQL type {quoted_type(resolved)}"
    return Outcome(message, statement.text)


@builds("drop_type")
def _drop_type(if_exists: bool, name: Token) -> ast.DropType:
    return ast.DropType(name.value, if_exists)


@prints(ast.DropType)
def _(statement: ast.DropType) -> str:
    return f"DROP TYPE {words_if(statement.if_exists, 'IF EXISTS ')}{quote(statement.name)}"


@command_ids(ast.DropType)
def _drop_id(statement: ast.DropType, outcome: Outcome | None) -> str:
    return f"type/{statement.name}/drop"


@applies(ast.DropType)
def _remove_type(engine: Engine, statement: ast.DropType, config: Mapping[str, Any]) -> Outcome:
    if engine.catalog.types.pop(statement.name, None) is None:
        if statement.if_exists:
            return Outcome(f"Type '{statement.name}' does not exist", statement.text)
        raise KsqlError(f"Type {statement.name} does not exist.")
    return Outcome(f"Dropped type '{statement.name}'", statement.text)


@builds("list_types")
@dataclass(frozen=True)
class ListTypes(ast.Reading):
    """SHOW TYPES."""


@prints(ListTypes)
def _(statement: ListTypes) -> str:
    return "LIST TYPES"


@executes(ListTypes)
def _list_types(statement: ListTypes, context: Context) -> list[Entity]:
    with context.runtime.lock:
        return [entities.type_list(statement.text, dict(context.runtime.engine.catalog.types))]
