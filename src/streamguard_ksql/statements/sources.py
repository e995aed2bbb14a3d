"""SHOW STREAMS, SHOW TABLES, DESCRIBE of a source, ASSERT STREAM and ASSERT TABLE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.catalog import STREAM, TABLE, DataSource
from streamguard_ksql.formatter import format_columns, format_properties, quote, words_if
from streamguard_ksql.parsing import checks
from streamguard_ksql.parsing.lexer import Token
from streamguard_ksql.schema import Schema
from streamguard_ksql.server import descriptions, entities
from streamguard_ksql.server.entities import Entity
from streamguard_ksql.server.errors import ASSERTION_FAILED, RestError
from streamguard_ksql.server.execution import Context
from streamguard_ksql.statements.registry import builds, executes, prints

# --- SHOW STREAMS, SHOW TABLES ----------------------------------------------------------------------------------------


@builds("list_streams")
@dataclass(frozen=True)
class ListStreams(ast.Reading):
    extended: bool = False


@builds("list_tables")
@dataclass(frozen=True)
class ListTables(ast.Reading):
    extended: bool = False


@prints(ListStreams)
def _(statement: ListStreams) -> str:
    return f"LIST STREAMS{words_if(statement.extended, ' EXTENDED')}"


@prints(ListTables)
def _(statement: ListTables) -> str:
    return f"LIST TABLES{words_if(statement.extended, ' EXTENDED')}"


@executes(ListStreams)
def _list_streams(statement: ListStreams, context: Context) -> list[Entity]:
    return [_sources(statement.text, STREAM, context, extended=statement.extended)]


@executes(ListTables)
def _list_tables(statement: ListTables, context: Context) -> list[Entity]:
    return [_sources(statement.text, TABLE, context, extended=statement.extended)]


def _sources(text: str, kind: str, context: Context, *, extended: bool) -> Entity:
    if extended:
        return _descriptions(text, kind, context, extended=True)
    with context.runtime.lock:
        return entities.source_list(text, kind, context.runtime.engine.catalog.of_kind(kind))


def _descriptions(text: str, kind: str, context: Context, *, extended: bool) -> Entity:
    with context.runtime.lock:
        describer = context.describer()
        found = sorted(context.runtime.engine.catalog.of_kind(kind), key=lambda s: s.name)
        return descriptions.described_sources(text, [describer.source(s, extended=extended) for s in found])


# --- DESCRIBE ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DescribeSource(ast.Reading):
    """DESCRIBE name [EXTENDED] (also SHOW COLUMNS FROM name)."""

    name: str
    extended: bool = False


@builds("describe_source", "show_columns")
def _describe_source(name: Token, extended: bool) -> DescribeSource:
    return DescribeSource(name.value, extended)


@builds("describe_extended")
def _describe_extended(name: Token) -> DescribeSource:
    return DescribeSource(name.value, extended=True)


@prints(DescribeSource)
def _(statement: DescribeSource) -> str:
    return f"DESCRIBE {quote(statement.name)}{words_if(statement.extended, ' EXTENDED')}"


@executes(DescribeSource)
def _describe(statement: DescribeSource, context: Context) -> list[Entity]:
    with context.runtime.lock:
        source = context.source(statement.name)
        description = context.describer().source(source, extended=statement.extended)
    return [descriptions.described_source(statement.text, description)]


@dataclass(frozen=True)
class DescribeSources(ast.Reading):
    """DESCRIBE STREAMS|TABLES [EXTENDED]."""

    kind: str
    extended: bool = False


@builds("describe_streams")
def _describe_streams(extended: bool) -> DescribeSources:
    return DescribeSources(STREAM, extended)


@builds("describe_tables")
def _describe_tables(extended: bool) -> DescribeSources:
    return DescribeSources(TABLE, extended)


@prints(DescribeSources)
def _(statement: DescribeSources) -> str:
    return f"DESCRIBE {statement.kind}S{words_if(statement.extended, ' EXTENDED')}"


@executes(DescribeSources)
def _describe_all(statement: DescribeSources, context: Context) -> list[Entity]:
    return [_descriptions(statement.text, statement.kind, context, extended=statement.extended)]


# --- ASSERT -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AssertSource(ast.Reading):
    """ASSERT STREAM|TABLE name (columns) WITH (properties)."""

    kind: str
    name: str
    columns: tuple[ast.ColumnDef, ...]
    properties: ast.Properties


@builds("assert_source")
def _assert_source(
    kind: str, name: Token, columns: tuple[ast.ColumnDef, ...], properties: ast.Properties
) -> AssertSource:
    checks.check_source(kind, columns, properties)
    return AssertSource(kind, name.value, columns, properties)


@prints(AssertSource)
def _(statement: AssertSource) -> str:
    columns = f" ({format_columns(statement.columns)})" if statement.columns else ""
    return f"ASSERT {statement.kind} {quote(statement.name)}{columns}{format_properties(statement.properties)}"


@executes(AssertSource)
def _compare_source(statement: AssertSource, context: Context) -> list[Entity]:
    """Compare a source with what the statement says of it; no entity says that all is well, as for INSERT VALUES."""
    with context.runtime.lock:
        source = context.source(statement.name)
        catalog = context.runtime.engine.catalog
        columns = [(c.name, catalog.resolve(c.type), c.constraint) for c in statement.columns]
    difference = _source_difference(statement, source, columns)
    if difference is not None:
        raise RestError(difference, code=ASSERTION_FAILED, statement=statement.text)
    return []


def _source_difference(statement: AssertSource, source: DataSource, columns: list[Any]) -> str | None:
    if source.kind != statement.kind:
        return f"Expected {statement.name} to be a {statement.kind}, but it is a {source.kind}."
    expected = ", ".join(f"`{n}` {t}{' KEY' if c in ('KEY', 'PRIMARY KEY') else ''}" for n, t, c in columns)
    actual = str(Schema(source.schema.key, source.schema.value))
    if columns and expected != actual:
        return f"Expected the schema of {statement.name} to be {expected}, but it is {actual}."
    known = {
        "KAFKA_TOPIC": source.topic,
        "KEY_FORMAT": source.key_format.name,
        "VALUE_FORMAT": source.value_format.name,
        "PARTITIONS": source.partitions,
    }
    for name, expected in statement.properties.items():
        if name in known and str(known[name]).upper() != str(expected).upper():
            return f"Expected {name} of {statement.name} to be {expected}, but it is {known[name]}."
    return None
