"""CREATE TYPE, DROP TYPE, SHOW TYPES."""

from __future__ import annotations

from dataclasses import dataclass

from streamguard_ksql import ast
from streamguard_ksql.errors import SqlSyntaxError
from streamguard_ksql.formatter import format_type, quote, words_if
from streamguard_ksql.parsing.lexer import Token
from streamguard_ksql.server import entities
from streamguard_ksql.server.entities import Entity
from streamguard_ksql.server.execution import Context, submit
from streamguard_ksql.statements.registry import builds, executes, prints
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


@builds("drop_type")
def _drop_type(if_exists: bool, name: Token) -> ast.DropType:
    return ast.DropType(name.value, if_exists)


@prints(ast.DropType)
def _(statement: ast.DropType) -> str:
    return f"DROP TYPE {words_if(statement.if_exists, 'IF EXISTS ')}{quote(statement.name)}"


@builds("list_types")
@dataclass(frozen=True)
class ListTypes(ast.Statement):
    """SHOW TYPES."""


@prints(ListTypes)
def _(statement: ListTypes) -> str:
    return "LIST TYPES"


@executes(ListTypes)
def _list_types(statement: ListTypes, context: Context) -> list[Entity]:
    with context.runtime.lock:
        return [entities.type_list(statement.text, dict(context.runtime.engine.catalog.types))]
