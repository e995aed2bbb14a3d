"""The SQL engine: whether it answers, its queries, and the rules that should be among them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from streamguard.config.resources import sql_file
from streamguard.sqldeploy.run import missing, variables_of
from streamguard.stack.health.base import Context, Finding, check


@check("The SQL engine is unavailable")
def unavailable(context: Context) -> Iterator[Finding]:
    """The server does not answer, or says that it is not healthy."""
    if context.engine is None:
        yield Finding(
            f"the SQL engine at {context.settings.ksqldb_url} (KSQLDB_URL) is unavailable: {context.engine_error}; no SQL rule"
            " sees a transaction until it is back, then all of them: see `streamguard logs ksqldb`"
        )


@check("A query has failed")
def failed(context: Context) -> Iterator[Finding]:
    """A persistent query is in another state than RUNNING."""
    for query in persistent_queries(context):
        if query["state"] == "RUNNING":
            continue
        name, why = query["id"], _reason(context, query["id"])
        todo = (
            f"`RESUME {name};` continues it"
            if query["state"] == "PAUSED"
            else "restart the server, or replace the query"
        )
        yield Finding(f"the query {name} is {str(query['state']).lower()}{why}: its rule sees no transaction; {todo}")


@check("A rule is missing")
def rule_missing(context: Context) -> Iterator[Finding]:
    """A statement of queries.sql is not on the server: it was terminated or dropped, or never deployed."""
    if context.engine is None:
        return
    names = [item.name for item in missing(context.engine, [sql_file("queries.sql")], variables_of(context.settings))]
    if names:
        yield Finding(
            f"the server does not have {', '.join(names)} of queries.sql: `streamguard deploy` sends what is missing"
        )


def persistent_queries(context: Context) -> list[dict[str, Any]]:
    """The lines of SHOW QUERIES; empty where the engine does not answer."""
    if context.engine is None:
        return []
    [entity] = context.engine.execute("SHOW QUERIES;")
    return [query for query in entity["queries"] if query["queryType"] == "PERSISTENT"]


def _reason(context: Context, query_id: str) -> str:
    """Why a query is not running, where the server knows: from its description, or the warnings of SHOW QUERIES."""
    assert context.engine is not None
    [described] = context.engine.execute(f"EXPLAIN {query_id};")
    errors = [str(error["errorMessage"]) for error in described["queryDescription"].get("queryErrors") or ()]
    [shown] = context.engine.execute("SHOW QUERIES;")
    errors += [
        str(one["message"]) for one in shown.get("warnings") or () if f"Query {query_id} " in str(one["message"])
    ]
    return f" ({errors[-1].splitlines()[0]})" if errors else ""
