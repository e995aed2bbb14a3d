"""CREATE STREAM and CREATE TABLE with columns; SOURCE ones are read-only, and a SOURCE TABLE is kept for pull queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.catalog import STREAM, DataSource
from streamguard_ksql.ddl.normal import normal_create
from streamguard_ksql.ddl.replacement import already_there, check_evolution, check_replacement, exists_message
from streamguard_ksql.ddl.sources import source_from_create
from streamguard_ksql.ddl.topics import check_topic, check_topic_name
from streamguard_ksql.engine import Engine, Outcome, PersistentQuery
from streamguard_ksql.errors import BadRequest, KsqlError, SqlSyntaxError
from streamguard_ksql.formatter import format_columns, format_properties, format_statement, quote, words_if
from streamguard_ksql.parsing import checks
from streamguard_ksql.parsing.lexer import Token
from streamguard_ksql.plan import MaterializeNode, SourceColumn, SourceNode
from streamguard_ksql.refusals import accepted_before, preparing
from streamguard_ksql.schema import Schema
from streamguard_ksql.server.execution import submit
from streamguard_ksql.statements.registry import applies, builds, command_ids, executes, prints

executes(ast.CreateSource)(submit)


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
    start = create_start(statement, words_if(statement.is_source, "SOURCE "))
    columns = f" ({format_columns(statement.columns)})" if statement.columns else ""
    return f"{start}{columns}{format_properties(statement.properties)}"


def create_start(statement: ast.CreateSource | ast.CreateAsSelect, source: str = "") -> str:
    """`CREATE OR REPLACE STREAM IF NOT EXISTS NAME`: what both forms of CREATE begin with."""
    or_replace = words_if(statement.or_replace, "OR REPLACE ")
    guard = words_if(statement.if_not_exists, "IF NOT EXISTS ")
    return f"CREATE {or_replace}{source}{statement.kind} {guard}{quote(statement.name)}"


@command_ids(ast.CreateSource)
def _command_id(statement: ast.CreateSource, outcome: Outcome | None) -> str:
    return f"{statement.kind.lower()}/`{statement.name}`/create"


@applies(ast.CreateSource)
def _create_source(engine: Engine, statement: ast.CreateSource, config: Mapping[str, Any]) -> Outcome:
    existing = engine.catalog.find(statement.name)
    if existing is not None and statement.if_not_exists:
        return Outcome(exists_message(statement, existing), statement.text, skipped=True)
    check_replacement(statement, existing)
    if statement.kind != STREAM and not accepted_before.get() and "CLEANUP_POLICY" in statement.properties:
        # A table's topic is compacted; only what is shown of the statement says so.
        raise preparing("Invalid config variable(s) in the WITH clause: CLEANUP_POLICY")
    statement = _with_columns(engine, statement)
    sql = format_statement(normal_create(statement))
    if existing is not None and not statement.or_replace:
        raise already_there(statement.kind, statement.name, existing, sql)
    try:
        source = source_from_create(statement, engine.catalog, config)
    except KsqlError as error:
        error.statement = error.statement or _shown(statement)
        raise
    source = replace(source, sql=sql)
    _need_topic(engine, source, statement)
    if existing is not None:
        check_evolution(existing, source)
    source = replace(source, partitions=engine.topics.partitions(source.topic))
    query = None
    if source.read_only and source.is_table:
        source = replace(source, query_id=f"CST_{source.name}_{engine.next_number}")
        query = _materialise(engine, source, config)
    engine.catalog.add(source)
    return Outcome(f"{statement.kind.capitalize()} created", sql, query=query, source=source)


def _materialise(engine: Engine, source: DataSource, config: Mapping[str, Any]) -> PersistentQuery:
    """The query behind a source table, which keeps it for pull queries and lives as long as it does."""
    assert source.query_id is not None
    stored = source.schema.stored
    origins = tuple(SourceColumn("VALUE", i) for i in range(len(stored)))
    kept = SourceNode(Schema(source.schema.key, stored), source, origins)
    plan = MaterializeNode(source.schema, kept, source)
    query = PersistentQuery(source.query_id, source.sql, plan, source, (source,), dict(config), creates=False)
    engine.queries[query.query_id] = query
    return query


def _with_columns(engine: Engine, statement: ast.CreateSource) -> ast.CreateSource:
    columns = tuple(replace(c, type=engine.catalog.resolve(c.type)) for c in statement.columns)
    return replace(statement, columns=columns)


def _shown(statement: ast.CreateSource) -> str:
    """As refusals show it: with the defaults of its WITH clause, but for the policy of a topic that is not there."""
    normal = normal_create(statement)
    shown = {n: v for n, v in normal.properties.items() if n != "CLEANUP_POLICY" or n in statement.properties}
    return format_statement(replace(normal, properties=shown))


def _need_topic(engine: Engine, source: DataSource, statement: ast.CreateSource) -> None:
    check_topic_name(engine, source.topic)
    if engine.topics.partitions(source.topic) is not None:
        check_topic(engine, source.topic, statement.properties)
        return
    if source.partitions is None:
        example = replace(
            statement,
            or_replace=False,
            if_not_exists=False,
            is_source=False,
            properties={**normal_create(statement).properties, "PARTITIONS": 2},
        )
        example.properties.pop("CLEANUP_POLICY", None)
        raise BadRequest(
            f"Topic '{source.topic}' does not exist. If you want to create a new topic for the stream/table please "
            "re-run the statement providing the required 'PARTITIONS' configuration in the WITH clause (and optionally "
            f"'REPLICAS'). For example: {format_statement(example)}"
        )
    policy = "delete" if source.kind == STREAM else "compact"
    engine.topics.create(source.topic, source.partitions, {"cleanup.policy": policy})
