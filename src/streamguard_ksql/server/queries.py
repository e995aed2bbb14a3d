"""Starting the query of a request to `/query` or `/query-stream`: push, pull, or PRINT."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.catalog import STREAM
from streamguard_ksql.errors import BadRequest, KsqlError, SqlSyntaxError
from streamguard_ksql.runtime.api import RowStream
from streamguard_ksql.server.errors import RestError, fault, refusal
from streamguard_ksql.server.execution import check_sources
from streamguard_ksql.server.formats import Result
from streamguard_ksql.server.logins import Principal
from streamguard_ksql.server.requests import SqlRequest
from streamguard_ksql.server.session import SUBSTITUTION, Prepared, Session
from streamguard_ksql.server.state import Lines, OpenQuery, Server


@dataclass(frozen=True)
class Push:
    """Rows that come as they are pulled."""

    result: Result
    stream: RowStream


@dataclass(frozen=True)
class Pull:
    """Rows that are all there."""

    result: Result
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Print:
    """Lines of PRINT, that come as they are pulled."""

    query_id: str
    lines: Lines


Started = Push | Pull | Print


def new_session(server: Server, request: SqlRequest) -> Session:
    configured = server.runtime.config_value(SUBSTITUTION)
    return Session(request.properties, request.variables, str(configured).lower() != "false")


def start(server: Server, request: SqlRequest) -> Started:
    """Start the one query of a request (SET and DEFINE may precede it). Blocks; RestError for a refusal."""
    text = request.sql
    try:
        prepared = new_session(server, request).prepare(request.sql)
        if len(prepared) != 1:
            raise SqlSyntaxError(f"Expected exactly one KSQL statement; found {len(prepared)} instead.")
        text = prepared[0].statement.text
        return _start(server, prepared[0], request.principal)
    except KsqlError as error:
        raise refusal(error, text) from None
    except RestError:
        raise
    except Exception as error:
        found = fault(error, f"starting {' '.join(text.split())[:80]}")
        raise RestError(found.message, code=found.code, statement=text) from error


def _start(server: Server, prepared: Prepared, principal: Principal) -> Started:
    statement, properties = prepared.statement, prepared.properties
    match statement:
        case ast.PrintTopic():
            return _print(server, statement, properties, principal.name)
        case ast.QueryStatement(query):
            check_sources(query.source, server)
            if query.emit is None and not _reads_stream(server, query):
                return _pull(server, query, prepared, principal)
            return _push(server, query, prepared, principal.name)
        case _:
            raise BadRequest(
                f"Statement type `{type(statement).__name__}' not supported for this resource: send it to /ksql."
            )


def _reads_stream(server: Server, query: ast.Query) -> bool:
    """Whether a query without EMIT reads one stream: then it is a push query that ends where the stream ends now."""
    if not isinstance(query.source, ast.Source):
        return False
    with server.runtime.lock:
        return server.runtime.engine.catalog.get(query.source.name).kind == STREAM


def pull_part(server: Server, request: SqlRequest, slots: Collection[int]) -> Sequence[Sequence[Any]]:
    """The rows of a pull query that are here, for another engine, which takes these slots for ours. Blocks; RestError."""
    try:
        prepared = new_session(server, request).prepare(request.sql)
        if len(prepared) != 1 or not isinstance(statement := prepared[0].statement, ast.QueryStatement):
            raise BadRequest("Other engines of the service are asked for the rows of a query, and for nothing else.")
        return server.runtime.pull_part(statement.query, prepared[0].properties, slots)
    except KsqlError as error:
        raise refusal(error, request.sql) from None


def _pull(server: Server, query: ast.Query, prepared: Prepared, principal: Principal) -> Pull:
    text = prepared.statement.text
    found = server.runtime.pull_query(query, prepared.properties, text, principal.authorization)
    return Pull(Result(found.query_id, found.columns, found.key_columns, is_push=False), found.rows)


def _push(server: Server, query: ast.Query, prepared: Prepared, user: str | None) -> Push:
    def begin() -> OpenQuery:
        stream = server.runtime.push_query(query, prepared.properties, prepared.statement.text)
        return OpenQuery(stream.query_id, prepared.statement.text, stream, user)

    stream: Any = server.admit(begin).stream
    return Push(Result(stream.query_id, stream.columns, stream.key_columns, is_push=True), stream)


def _print(server: Server, statement: ast.PrintTopic, properties: Any, user: str | None) -> Print:
    query_id = f"print_{uuid.uuid4().hex}"

    def begin() -> OpenQuery:
        return OpenQuery(query_id, statement.text, Lines(server.runtime.print_topic(statement, properties)), user)

    lines: Any = server.admit(begin).stream
    return Print(query_id, lines)
