"""`/ksql/terminate`: the end of a cluster (docs/developer-guide/ksqldb-rest-api/terminate-endpoint.md)."""

from __future__ import annotations

import re
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.catalog import DataSource
from streamguard_ksql.formatter import format_statement
from streamguard_ksql.server import entities
from streamguard_ksql.server.entities import Entity
from streamguard_ksql.server.errors import RestError
from streamguard_ksql.server.state import Server

TEXT = "TERMINATE CLUSTER;"
COMMAND_ID = "cluster/TerminateCluster/terminate"


def terminate(server: Server, patterns: Any) -> list[Entity]:
    """End all queries and drop all sources; topics that a query made and a pattern matches are deleted. Blocks."""
    matches = _patterns(patterns)
    server.terminated = True
    server.close()
    runtime = server.runtime
    with runtime.lock:
        made = {q.target.name for q in runtime.engine.queries.values() if q.creates}
        sources = [
            s for s in reversed(runtime.engine.catalog.sources.values()) if not s.topic.endswith("ksql_processing_log")
        ]
    last = runtime.submit(ast.Terminate(None, text="TERMINATE ALL;"), {}, "TERMINATE ALL;").sequence_number
    for source in sources:
        delete = source.name in made and any(p.fullmatch(source.topic) for p in matches)
        statement = _drop(source, delete_topic=delete)
        last = runtime.submit(statement, {}, statement.text).sequence_number
    status = entities.command_status("Cluster terminated.", None)
    server.remember(COMMAND_ID, status, last)
    return [entities.current_status(TEXT, COMMAND_ID, status, last)]


def _drop(source: DataSource, *, delete_topic: bool) -> ast.DropSource:
    statement = ast.DropSource(source.kind, source.name, delete_topic=delete_topic)
    return ast.DropSource(source.kind, source.name, delete_topic=delete_topic, text=format_statement(statement))


def _patterns(patterns: Any) -> list[re.Pattern[str]]:
    if not isinstance(patterns, list) or not all(isinstance(p, str) for p in patterns):
        raise RestError("'deleteTopicList' must be a list of topic names or regular expressions.")
    try:
        return [re.compile(p) for p in patterns]
    except re.error as error:
        raise RestError(f"Invalid pattern in 'deleteTopicList': {error}") from None
