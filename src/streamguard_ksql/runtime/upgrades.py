"""CREATE OR REPLACE of a running query: it goes on with the state it has, so what made that state has to stay.

Source: docs/how-to-guides/update-a-running-persistent-query.md of the ksqlDB manual: filters and columns may change,
aggregations and joins may not.
"""

from __future__ import annotations

from streamguard_ksql.engine import PersistentQuery
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.plan import AggregateNode, FilterNode, Node, ProjectNode, SinkNode, SourceNode, walk

STATELESS = (SourceNode, FilterNode, ProjectNode, SinkNode)


def check_upgrade(running: PersistentQuery | None, query: PersistentQuery) -> None:
    """KsqlError if a query that replaces a running one cannot take over its state and positions."""
    if running is None:
        return
    if {s.topic for s in running.sources} != {s.topic for s in query.sources}:
        raise _refused(query, "it reads other sources than the running query")
    if _state(running.plan) != _state(query.plan):
        raise _refused(
            query, "its aggregations or joins are not those of the running query, whose state it would inherit"
        )


def _state(plan: Node) -> list[str]:
    """What makes the state of a plan, as text: each step that is not stateless, and the filters below it."""
    found = []
    for node in walk(plan):
        if isinstance(node, AggregateNode):
            found.append(repr((node.keys, node.aggregates, node.window_spec, node.final)))
        elif not isinstance(node, STATELESS):
            found.append(type(node).__name__)
    return found


def _refused(query: PersistentQuery, why: str) -> KsqlError:
    return KsqlError(f"Cannot upgrade query {query.query_id}: {why}. Drop {query.target.name} and create it again.")
