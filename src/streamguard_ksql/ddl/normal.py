"""Statements in the normal form in which ksqlDB keeps and shows them: defaults said, columns qualified."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from streamguard_ksql import ast
from streamguard_ksql.catalog import STREAM, Catalog, DataSource
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.formatter import format_statement
from streamguard_ksql.planning.names import Names, bind
from streamguard_ksql.planning.normal import normal_query
from streamguard_ksql.planning.planner import PlannedQuery

DEFAULT_RETENTION_MS = 604_800_000
QueryStatement = TypeVar("QueryStatement", ast.CreateAsSelect, ast.InsertInto)


def normal_create(statement: ast.CreateSource) -> ast.CreateSource:
    """The statement with the defaults of its WITH clause that do not depend on others."""
    policy = "delete" if statement.kind == STREAM else "compact"
    properties = {"CLEANUP_POLICY": policy, **statement.properties}
    if "FORMAT" not in properties:
        properties.setdefault("KEY_FORMAT", "KAFKA")
    return replace(statement, properties=properties)


def normal_create_as(statement: ast.CreateAsSelect, target: DataSource, planned: PlannedQuery) -> ast.CreateAsSelect:
    """The statement `qualified`, with every property of its result."""
    policy = "delete" if target.kind == STREAM else "compact,delete" if target.window else "compact"
    known = {"KAFKA_TOPIC": target.topic, "PARTITIONS": target.partitions or 1}
    properties = _result_properties(policy, {**known, **statement.properties})
    return replace(qualified(statement, planned), properties=properties)


def qualified(statement: QueryStatement, planned: PlannedQuery) -> QueryStatement:
    """The statement with qualified columns and every item named, as ksqlDB keeps it."""
    return replace(statement, query=normal_query(statement.query, planned.names))


def try_normal(statement: Any, catalog: Catalog, partitions: Callable[[str], int | None]) -> str:
    """The normal form of a refused statement, as far as its names can be resolved; else its text."""
    try:
        bindings = bind(statement.query.source, catalog)
        normal = replace(statement, query=normal_query(statement.query, Names(bindings)))
        if isinstance(statement, ast.CreateAsSelect):
            given = {"KAFKA_TOPIC": statement.name, "PARTITIONS": partitions(bindings[0].source.topic) or 1}
            policy = "delete" if statement.kind == STREAM else "compact,delete" if statement.query.window else "compact"
            shown = _result_properties(policy, {**given, **statement.properties})
            normal = replace(normal, properties=shown)
        return format_statement(normal)
    except KsqlError:
        return str(statement.text)


def _result_properties(policy: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The WITH clause of a query's result in normal form: what is given, over the defaults."""
    return {"CLEANUP_POLICY": policy, "REPLICAS": 1, "RETENTION_MS": DEFAULT_RETENTION_MS, **given}
