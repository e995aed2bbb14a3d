"""SQL: statements that change the server, and queries that stream."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from starlette.responses import Response, StreamingResponse

from streamguard.config import UserError
from streamguard.desk.api.alerts import WHY
from streamguard.desk.api.endpoint import Call, Model, Refused, endpoint
from streamguard.desk.sqlrun import SqlRun
from streamguard.sqldeploy.console import Part, SqlRefused, parts_of

Begin = Literal["earliest", "latest"]
NDJSON = "application/x-ndjson"


class QueryFilter(Model):
    """What is asked (SELECT, PRINT, SHOW, DESCRIBE, EXPLAIN), where push queries begin, and after how many rows they end."""

    sql: str = Field(min_length=1, max_length=20_000, pattern=r"^[^\x00]*$")
    begin: Begin = "latest"
    limit: int = Field(1_000, ge=1, le=100_000)


class StatementsIn(Model):
    """Statements, carried out one after the other until one is refused; and why."""

    sql: str = Field(min_length=1, max_length=200_000, pattern=r"^[^\x00]*$")
    begin: Begin = "latest"
    reason: str = WHY


class BlockOut(Model):
    """A table, or a text where it has no columns."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    text: str


class StatementOut(Model):
    """A statement that was carried out, and what the server said."""

    statement: str
    line: int
    blocks: list[BlockOut]


class StatementsOut(Model):
    """What was carried out. `error` is null, or says why the next one, at `line` and `column`, and what follows were not."""

    done: list[StatementOut]
    error: str | None = None
    line: int | None = None
    column: int | None = None


@endpoint("GET", "/sql/rows", needs="sql.read", takes=QueryFilter, streams=NDJSON)
def rows(call: Call, given: QueryFilter) -> Response:
    """Run queries: JSON lines (`statement`, `columns`, `row`, `block`, `error`, `done`) as they come, until the client leaves."""
    parts = _parts(given.sql, given.begin)
    if changes := [part for part in parts if not part.reads_only]:
        first = changes[0]
        raise Refused(
            422, f"line {first.line}: {first.word or 'this'} changes the server: POST it to /sql with a reason."
        )
    run = _run(call, parts, "", given.limit)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(run.lines(), media_type=NDJSON, headers=headers)


@endpoint("POST", "/sql", needs="sql.change", takes=StatementsIn, gives=StatementsOut)
def statements(call: Call, given: StatementsIn) -> StatementsOut:
    """Carry out statements, each with its row in the audit log."""
    parts = _parts(given.sql, given.begin)
    if queries := [part for part in parts if part.is_query]:
        raise Refused(422, f"line {queries[0].line}: {queries[0].word} is a query: GET /sql/rows streams its rows.")
    found = StatementsOut(done=[])
    for event in _run(call, parts, given.reason, 1).events():
        if "statement" in event:
            found.done.append(StatementOut(statement=event["statement"], line=event["line"], blocks=[]))
        elif "block" in event:
            found.done[-1].blocks.append(BlockOut(**event["block"]))
        elif "error" in event:
            found.done.pop()
            found.error, found.line, found.column = event["error"], event["line"], event["column"]
    if found.error and not found.done:
        raise UserError(found.error)
    return found


def _parts(sql: str, begin: str) -> list[Part]:
    try:
        parts = parts_of(sql, {"ksql.streams.auto.offset.reset": begin})
    except SqlRefused as error:
        place = "" if error.line is None else f"line {error.line}, column {error.column}: "
        raise UserError(f"{place}{error}") from None
    if not parts:
        raise UserError("there is no statement: write one, such as SHOW STREAMS;")
    return parts


def _run(call: Call, parts: list[Part], reason: str, limit: int) -> SqlRun:
    return SqlRun(call.desk.settings.ksqldb, call.desk.engine, parts, user=call.user, reason=reason, limit=limit)
