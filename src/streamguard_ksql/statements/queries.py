"""SELECT on its own, SHOW QUERIES, EXPLAIN."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from streamguard_ksql import ast
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.formatter import format_inner, format_query, format_query_id, words_if
from streamguard_ksql.parsing.lexer import Token
from streamguard_ksql.server import descriptions, entities
from streamguard_ksql.server.entities import Entity
from streamguard_ksql.server.execution import INTERNAL_PREFIX, Context
from streamguard_ksql.statements.registry import builds, executes, prints

builds("select_statement")(ast.QueryStatement)


@prints(ast.QueryStatement)
def _(statement: ast.QueryStatement) -> str:
    return format_query(statement.query)


# --- SHOW QUERIES -----------------------------------------------------------------------------------------------------


@builds("list_queries")
@dataclass(frozen=True)
class ListQueries(ast.Reading):
    extended: bool = False


@prints(ListQueries)
def _(statement: ListQueries) -> str:
    return f"LIST QUERIES{words_if(statement.extended, ' EXTENDED')}"


@executes(ListQueries)
def list_queries(statement: ListQueries, context: Context) -> list[Entity]:
    with context.runtime.lock:
        describer = context.describer()
        persistent = [q for _, q in sorted(context.runtime.engine.queries.items())]
        if statement.extended:
            return [descriptions.described_queries(statement.text, [describer.query(q) for q in persistent])]
        rows = [describer.running(q) for q in persistent]
        warnings = describer.failures(persistent)
    rows += [descriptions.push_query(q.query_id, q.text) for q in context.server.open_queries()]
    return [{**entities.entity("queries", statement.text, queries=rows), "warnings": warnings}]


# --- EXPLAIN ----------------------------------------------------------------------------------------------------------


@builds("explain_query")
def _explain_query(query_id: Token) -> ast.Explain:
    return ast.Explain(query_id=query_id.value)


@builds("explain_statement")
def _explain_statement(statement: ast.Statement) -> ast.Explain:
    return ast.Explain(statement=statement)


@prints(ast.Explain)
def _(statement: ast.Explain) -> str:
    if statement.statement is None:
        return f"EXPLAIN {format_query_id(statement.query_id)}"
    return f"EXPLAIN {format_inner(statement.statement)}"


@executes(ast.Explain)
def _explain(statement: ast.Explain, context: Context) -> list[Entity]:
    if statement.statement is not None:
        return [_explained(statement, statement.statement, context)]
    with context.runtime.lock:
        query = context.runtime.engine.queries.get(statement.query_id or "")
        if query is None:
            raise KsqlError(
                f"Query with id:{statement.query_id} does not exist, use SHOW QUERIES to view the full set of queries."
            )
        return [descriptions.described_query(statement.text, context.describer().query(query))]


def _explained(statement: ast.Explain, inner: ast.Statement, context: Context) -> Entity:
    query = getattr(inner, "query", None)
    if not isinstance(query, ast.Query):
        raise KsqlError("The provided statement does not run a ksql query")
    node, columns = context.runtime.explain(query, context.properties)
    name = query.source.name if isinstance(query.source, ast.Source) else "JOIN"
    query_id = f"transient_{name}_{uuid.uuid4().int % 10**19}"
    group = f"{INTERNAL_PREFIX}{context.runtime.service_id}transient_{query_id}_{context.server.clock_ms()}"
    described = descriptions.explained(query_id, inner.text, node, columns, context.properties, group)
    return descriptions.described_query(statement.text, described)
