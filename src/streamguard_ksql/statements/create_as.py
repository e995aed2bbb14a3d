"""CREATE STREAM and CREATE TABLE ... AS SELECT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.catalog import STREAM, DataSource
from streamguard_ksql.ddl.normal import normal_create_as, try_normal
from streamguard_ksql.ddl.replacement import already_there, check_evolution, check_replacement, exists_message
from streamguard_ksql.ddl.sources import check_timestamp_is_selected, source_from_query
from streamguard_ksql.ddl.topics import check_topic, check_topic_name
from streamguard_ksql.engine import Engine, Outcome
from streamguard_ksql.formatter import format_properties, format_query, format_statement
from streamguard_ksql.planning.planner import PlannedQuery
from streamguard_ksql.server.execution import submit_query
from streamguard_ksql.statements.create_source import create_start
from streamguard_ksql.statements.registry import applies, command_ids, executes, prints

executes(ast.CreateAsSelect)(submit_query)


@prints(ast.CreateAsSelect)
def _(statement: ast.CreateAsSelect) -> str:
    return f"{create_start(statement)}{format_properties(statement.properties)} AS {format_query(statement.query)}"


@command_ids(ast.CreateAsSelect)
def _command_id(statement: ast.CreateAsSelect, outcome: Outcome | None) -> str:
    return f"{statement.kind.lower()}/`{statement.name}`/create"


@applies(ast.CreateAsSelect)
def _create_as_select(engine: Engine, statement: ast.CreateAsSelect, config: Mapping[str, Any]) -> Outcome:
    existing = engine.catalog.find(statement.name)
    if existing is not None and statement.if_not_exists:
        return Outcome(exists_message(statement, existing), statement.text, skipped=True)
    check_replacement(statement, existing)
    if existing is not None and not statement.or_replace:
        raise already_there(statement.kind, statement.name, existing, statement.text)
    query_id = None if existing is None else existing.query_id
    query_id = query_id or f"{'CSAS' if statement.kind == STREAM else 'CTAS'}_{statement.name}_{engine.next_number}"
    check_timestamp_is_selected(statement)
    planned = engine.plan(statement, statement.query, statement.name, config)
    normal = try_normal(statement, engine.catalog, engine.topics.partitions)
    target = source_from_query(statement, planned, engine.catalog, config, query_id, normal)
    check_topic_name(engine, target.topic)
    if existing is not None:
        check_evolution(existing, target)
    check_topic(engine, target.topic, statement.properties)
    target = _with_topic(engine, target, planned)
    sql = format_statement(normal_create_as(statement, target, planned))
    target = replace(target, sql=sql)
    query = engine.register(query_id, sql, planned, target, config, creates=True)
    engine.catalog.add(target)
    return Outcome(f"Created query with ID {query_id}", sql, query=query, source=target)


def _with_topic(engine: Engine, target: DataSource, planned: PlannedQuery) -> DataSource:
    """The target with its topic there, and the number of partitions it has."""
    existing = engine.topics.partitions(target.topic)
    first = engine.catalog.get(planned.source_names[0])
    partitions = existing or target.partitions or engine.topics.partitions(first.topic) or 1
    if existing is None:
        policy = "delete" if target.kind == STREAM else "compact,delete" if target.window else "compact"
        engine.topics.create(target.topic, partitions, {"cleanup.policy": policy})
    return replace(target, partitions=partitions)
