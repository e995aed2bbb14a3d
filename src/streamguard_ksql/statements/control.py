"""TERMINATE, PAUSE, RESUME: of one query, or of all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.engine import Engine, Outcome
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.formatter import format_query_id
from streamguard_ksql.server import entities
from streamguard_ksql.server.entities import Entity
from streamguard_ksql.server.execution import Context, submit
from streamguard_ksql.statements.registry import applies, builds, command_ids, executes, prints

builds("terminate")(ast.Terminate)
builds("pause")(ast.Pause)
builds("resume")(ast.Resume)
executes(ast.Pause, ast.Resume)(submit)


@prints(ast.Terminate, ast.Pause, ast.Resume)
def _(statement: ast.Terminate | ast.Pause | ast.Resume) -> str:
    return f"{type(statement).__name__.upper()} {format_query_id(statement.query_id)}"


@command_ids(ast.Terminate, ast.Pause, ast.Resume)
def _command_id(statement: ast.Terminate | ast.Pause | ast.Resume, outcome: Outcome | None) -> str:
    return f"{type(statement).__name__.lower()}/{statement.query_id or 'ALL'}/execute"


@executes(ast.Terminate)
def _terminate(statement: ast.Terminate, context: Context) -> list[Entity]:
    """A persistent query's end is a command; a push query is closed here and now."""
    for query in context.server.open_queries():
        if query.query_id.upper() == statement.query_id:  # SQL has the name in upper case
            context.server.close_query(query.query_id)
            return [entities.terminated_query(statement.text, query.query_id)]
    return submit(statement, context)


@applies(ast.Terminate)
def _end_queries(engine: Engine, statement: ast.Terminate, config: Mapping[str, Any]) -> Outcome:
    if statement.query_id is None:
        ended = tuple(q.query_id for q in engine.queries.values() if q.sinks)
    elif engine.query(statement.query_id).sinks:
        ended = (statement.query_id,)
    else:
        raise KsqlError(f"Cannot terminate query '{statement.query_id}' because it is linked to a source table.")
    for query_id in ended:
        engine.forget(query_id)
    return Outcome("Query terminated.", statement.text, terminated=ended)
