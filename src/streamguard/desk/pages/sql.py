"""SQL: what the server has, an editor, and what it answers as it comes."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response, StreamingResponse

from streamguard.config import UserError
from streamguard.desk.site import Visit, refuse, route
from streamguard.desk.sqlrun import SqlRun
from streamguard.sqldeploy.answers import type_name
from streamguard.sqldeploy.console import ServerUnavailable, SqlRefused, parts_of, send

LIMITS = (100, 1_000, 10_000)
_NAMES = {
    "streams": "SHOW STREAMS EXTENDED;",
    "tables": "SHOW TABLES EXTENDED;",
    "queries": "SHOW QUERIES;",
    "topics": "SHOW TOPICS;",
    "functions": "SHOW FUNCTIONS;",
}


@route("GET", "/sql", needs="sql.read")
def sql(visit: Visit) -> Response:
    """The editor; `text` is what it begins with."""
    return visit.page("sql.html", text=visit.query.get("text", "")[:100_000], limits=LIMITS)


@route("GET", "/sql/names", needs="sql.read")
def names(visit: Visit) -> Response:
    """What there is, for the tree and the completion: streams and tables with their columns, queries, topics, functions."""
    try:
        found = {name: _list(visit, name, statement) for name, statement in _NAMES.items()}
    except (ServerUnavailable, SqlRefused) as error:
        return refuse(visit, 503, f"{error}; what it has is shown when it is back.")
    return JSONResponse(found)


@route("POST", "/sql/run", needs="sql.read")
def run(visit: Visit) -> Response:
    """Run statements; the answer is a stream of JSON lines (`sqlrun.SqlRun`). Ends with the connection."""
    text = str(visit.form.get("sql", ""))
    limit = visit.text("limit")
    rows = int(limit) if limit.isdecimal() and int(limit) in LIMITS else 1_000
    begin = "earliest" if visit.text("begin") == "earliest" else "latest"
    try:
        parts = parts_of(text, {"ksql.streams.auto.offset.reset": begin})
    except SqlRefused as error:
        return JSONResponse({"error": str(error), "line": error.line, "column": error.column}, status_code=409)
    if not parts:
        raise UserError("there is no statement: write one, such as SHOW STREAMS;")
    changes = [part for part in parts if not part.reads_only]
    if changes and not visit.may("sql.change"):
        role = visit.session.role if visit.session else ""
        first = changes[0]
        said = (
            f"line {first.line}: the role {role} may read (SHOW, DESCRIBE, EXPLAIN, SELECT, PRINT), {first.word or 'this'}"
            " changes the server: ask a lead or an admin"
        )
        return JSONResponse({"error": said, "line": first.line, "column": first.column}, status_code=403)
    reason = visit.text("reason")[:1_000] if changes else ""
    if changes and not reason:
        asked = f"{changes[0].word or 'This'} changes the server: a reason is needed; it is kept"
        return JSONResponse({"error": asked, "needs": "reason"}, status_code=409)
    made = SqlRun(visit.desk.settings.ksqldb, visit.desk.engine, parts, user=visit.user, reason=reason, limit=rows)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(made.lines(), media_type="application/x-ndjson", headers=headers)


def _list(visit: Visit, name: str, statement: str) -> list[dict[str, Any]]:
    [part] = parts_of(statement, {})
    answer = send(visit.desk.settings.ksqldb, part)
    try:
        [entity, *_] = answer.json()
    finally:
        answer.close()
    if name in ("streams", "tables"):
        return [_described(source) for source in entity.get("sourceDescriptions") or []]
    if name == "queries":
        return [{"name": query["id"], "state": query.get("state")} for query in entity.get(name) or []]
    return [{"name": item["name"]} for item in entity.get(name) or []]


def _described(source: dict[str, Any]) -> dict[str, Any]:
    columns = [
        {"name": column.get("name"), "type": type_name(column.get("schema")), "key": bool(column.get("type"))}
        for column in source.get("fields") or []
    ]
    return {"name": source.get("name"), "topic": source.get("topic"), "columns": columns}
