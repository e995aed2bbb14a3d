"""ALTER STREAM and ALTER TABLE, DROP STREAM and DROP TABLE, ALTER SYSTEM."""

from __future__ import annotations

from dataclasses import dataclass

from streamguard_ksql import ast
from streamguard_ksql.formatter import format_columns, format_text, quote, words_if
from streamguard_ksql.parsing.lexer import Token
from streamguard_ksql.server.execution import submit
from streamguard_ksql.statements.registry import builds, executes, prints

executes(ast.AlterSource, ast.DropSource)(submit)


@builds("alter_source")
def _alter_source(kind: str, name: Token, *columns: ast.ColumnDef) -> ast.AlterSource:
    return ast.AlterSource(kind, name.value, columns)


@prints(ast.AlterSource)
def _(statement: ast.AlterSource) -> str:
    added = ", ".join(f"ADD COLUMN {format_columns([column])}" for column in statement.columns)
    return f"ALTER {statement.kind} {quote(statement.name)} {added}"


@builds("drop_source")
def _drop_source(kind: str, if_exists: bool, name: Token, delete_topic: bool) -> ast.DropSource:
    return ast.DropSource(kind, name.value, if_exists, delete_topic)


@prints(ast.DropSource)
def _(statement: ast.DropSource) -> str:
    guard, topic = words_if(statement.if_exists, "IF EXISTS "), words_if(statement.delete_topic, " DELETE TOPIC")
    return f"DROP {statement.kind} {guard}{quote(statement.name)}{topic}"


@dataclass(frozen=True)
class AlterSystem(ast.Statement):
    """ALTER SYSTEM 'name'='value': parsed, and refused as not supported."""

    name: str
    value: str


@builds("alter_system")
def _alter_system(name: Token, value: Token) -> AlterSystem:
    return AlterSystem(name.value, value.value)


@prints(AlterSystem)
def _(statement: AlterSystem) -> str:
    return f"ALTER SYSTEM {format_text(statement.name)}={format_text(statement.value)}"
