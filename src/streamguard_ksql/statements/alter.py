"""ALTER STREAM and ALTER TABLE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.engine import Engine, Outcome
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.formatter import format_columns, quote
from streamguard_ksql.parsing.lexer import Token
from streamguard_ksql.schema import Column, Schema
from streamguard_ksql.server.execution import submit
from streamguard_ksql.statements.registry import applies, builds, command_ids, executes, prints

executes(ast.AlterSource)(submit)


@builds("alter_source")
def _alter_source(kind: str, name: Token, *columns: ast.ColumnDef) -> ast.AlterSource:
    return ast.AlterSource(kind, name.value, columns)


@prints(ast.AlterSource)
def _(statement: ast.AlterSource) -> str:
    added = ", ".join(f"ADD COLUMN {format_columns([column])}" for column in statement.columns)
    return f"ALTER {statement.kind} {quote(statement.name)} {added}"


@command_ids(ast.AlterSource)
def _command_id(statement: ast.AlterSource, outcome: Outcome | None) -> str:
    return f"{statement.kind.lower()}/{statement.name}/alter"


@applies(ast.AlterSource)
def _add_columns(engine: Engine, statement: ast.AlterSource, config: Mapping[str, Any]) -> Outcome:
    source = engine.catalog.find(statement.name)
    if source is None:
        raise KsqlError(f"Source {statement.name} does not exist.{engine.catalog.hint(statement.name)}")
    kind = source.kind.lower()
    if source.kind != statement.kind:
        raise KsqlError(f"Incompatible data source type is {source.kind}, but statement was ALTER {statement.kind}")
    if source.read_only:
        raise KsqlError(f"Cannot alter {kind} '{source.name}': ALTER operations are not supported on source {kind}s.")
    if source.query_id is not None:
        raise KsqlError("ALTER command is not supported for CREATE ... AS statements.")
    added = tuple(Column(c.name, engine.catalog.resolve(c.type)) for c in statement.columns)
    for column in added:
        if source.schema.find(column.name) is not None:
            raise KsqlError(f"Cannot add column `{column.name}` to schema. A column with the same name already exists.")
    schema = Schema(source.schema.key, source.schema.value + added)
    engine.catalog.add(replace(source, schema=schema))
    return Outcome(f"{kind.capitalize()} {source.name} altered.", statement.text)
