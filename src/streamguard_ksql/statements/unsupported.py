"""Statements that are parsed so that the error can say that, or why, they are not supported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.formatter import (
    format_expressions,
    format_names,
    format_text,
    format_timeout,
    format_topic,
    quote,
    words_if,
)
from streamguard_ksql.parsing.lexer import Token
from streamguard_ksql.server.entities import Entity
from streamguard_ksql.server.errors import RestError
from streamguard_ksql.server.execution import Context
from streamguard_ksql.statements.registry import builds, executes, prints

# --- connectors -------------------------------------------------------------------------------------------------------


@builds("list_connectors")
@dataclass(frozen=True)
class ListConnectors(ast.Reading):
    """SHOW [SOURCE|SINK] CONNECTORS."""


@dataclass(frozen=True)
class ConnectorStatement(ast.Statement):
    """CREATE/DROP/DESCRIBE CONNECTOR, SHOW CONNECTOR PLUGINS."""


@builds("connector_statement")
def _connector_statement(*_: Any) -> ConnectorStatement:
    return ConnectorStatement()


@prints(ListConnectors)
def _(statement: ListConnectors) -> str:
    return "LIST CONNECTORS"


@prints(ConnectorStatement)
def _(statement: ConnectorStatement) -> str:
    return "LIST CONNECTOR PLUGINS"


@executes(ListConnectors, ConnectorStatement)
def _connectors(statement: ast.Statement, context: Context) -> list[Entity]:
    raise RestError(
        "Connectors are not supported: this server has no Kafka Connect.", code=50000, statement=statement.text
    )


# --- RUN SCRIPT -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunScript(ast.Statement):
    """RUN SCRIPT 'path': the shell reads the file and sends what is in it."""

    path: str


@builds("run_script")
def _run_script(path: Token) -> RunScript:
    return RunScript(path.value)


@prints(RunScript)
def _(statement: RunScript) -> str:
    return f"RUN SCRIPT {format_text(statement.path)}"


@executes(RunScript)
def _refuse_script(statement: RunScript, context: Context) -> list[Entity]:
    raise KsqlError("RUN SCRIPT is a command of the ksql shell; the server does not read files.")


# --- ALTER SYSTEM -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AlterSystem(ast.Statement):
    """ALTER SYSTEM 'name'='value'."""

    name: str
    value: str


@builds("alter_system")
def _alter_system(name: Token, value: Token) -> AlterSystem:
    return AlterSystem(name.value, value.value)


@prints(AlterSystem)
def _(statement: AlterSystem) -> str:
    return f"ALTER SYSTEM {format_text(statement.name)}={format_text(statement.value)}"


# --- assertions -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AssertSchema(ast.Reading):
    """ASSERT [NOT EXISTS] SCHEMA [SUBJECT s] [ID n] [TIMEOUT duration]."""

    subject: str | None = None
    schema_id: int | None = None
    timeout: ast.Duration | None = None
    exists: bool = True


@builds("assert_schema")
def _assert_schema(
    exists: bool, subject: str | None, schema_id: int | None, timeout: ast.Duration | None
) -> AssertSchema:
    return AssertSchema(subject, schema_id, timeout, exists)


@prints(AssertSchema)
def _(statement: AssertSchema) -> str:
    subject = "" if statement.subject is None else f" SUBJECT {format_topic(statement.subject)}"
    schema_id = "" if statement.schema_id is None else f" ID {statement.schema_id}"
    start = f"ASSERT {words_if(not statement.exists, 'NOT EXISTS ')}SCHEMA"
    return f"{start}{subject}{schema_id}{format_timeout(statement.timeout)}"


@executes(AssertSchema)
def _refuse_schema(statement: AssertSchema, context: Context) -> list[Entity]:
    raise KsqlError("ASSERT SCHEMA needs a Schema Registry, which this server does not have.")


@dataclass(frozen=True)
class AssertValues(ast.Statement):
    """ASSERT VALUES|NULL VALUES target (columns) VALUES (values): a statement of the test runner."""

    target: str
    columns: tuple[str, ...]
    values: tuple[ast.Expression, ...]
    tombstone: bool = False


@builds("assert_values")
def _assert_values(target: Token, columns: tuple[str, ...], values: tuple[ast.Expression, ...]) -> AssertValues:
    return AssertValues(target.value, columns, values)


@builds("assert_tombstone")
def _assert_tombstone(target: Token, columns: tuple[str, ...], values: tuple[ast.Expression, ...]) -> AssertValues:
    return AssertValues(target.value, columns, values, tombstone=True)


@prints(AssertValues)
def _(statement: AssertValues) -> str:
    start = f"ASSERT {words_if(statement.tombstone, 'NULL ')}VALUES {quote(statement.target)}"
    values = format_expressions(statement.values)
    return f"{start}{format_names(statement.columns)} {'KEY' if statement.tombstone else 'VALUES'} ({values})"
