"""TERMINATE, PAUSE, RESUME: of one query, or of all."""

from __future__ import annotations

from streamguard_ksql import ast
from streamguard_ksql.formatter import format_query_id
from streamguard_ksql.server import entities
from streamguard_ksql.server.entities import Entity
from streamguard_ksql.server.execution import Context, submit
from streamguard_ksql.statements.registry import builds, executes, prints

builds("terminate")(ast.Terminate)
builds("pause")(ast.Pause)
builds("resume")(ast.Resume)
executes(ast.Pause, ast.Resume)(submit)


@prints(ast.Terminate, ast.Pause, ast.Resume)
def _(statement: ast.Terminate | ast.Pause | ast.Resume) -> str:
    return f"{type(statement).__name__.upper()} {format_query_id(statement.query_id)}"


@executes(ast.Terminate)
def _terminate(statement: ast.Terminate, context: Context) -> list[Entity]:
    """A persistent query's end is a command; a push query is closed here and now."""
    for query in context.server.open_queries():
        if query.query_id.upper() == statement.query_id:  # SQL has the name in upper case
            context.server.close_query(query.query_id)
            return [entities.terminated_query(statement.text, query.query_id)]
    return submit(statement, context)
