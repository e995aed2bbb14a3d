"""Pull queries: the rows of a materialised table as they are now.

A table that a query fills is in that query's state. Looking up keys goes straight to them; anything else looks at
every row. WHERE and SELECT run as the same operators that they are in any other query.

Source: docs/developer-guide/ksqldb-reference/select-pull-query.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.catalog import Catalog, DataSource
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.operators.aggregate import (
    Aggregation,
    GroupAggregation,
    SessionAggregation,
    TableAggregation,
    WindowAggregation,
    keyed_entries,
)
from streamguard_ksql.operators.base import ProcessingError, Runtime
from streamguard_ksql.operators.record import Record, Window
from streamguard_ksql.operators.sinks import Materializer, Sink
from streamguard_ksql.operators.sources import row_builder
from streamguard_ksql.operators.stateless import Project
from streamguard_ksql.plan import sources
from streamguard_ksql.planning.names import WINDOW_BOUNDS
from streamguard_ksql.planning.planner import PlannedQuery, plan_query
from streamguard_ksql.topology import Topology


@dataclass(frozen=True)
class Row:
    """A row of a table: key and value in the order of the source's schema."""

    key: tuple[Any, ...]
    value: Sequence[Any]
    time: int
    window: Window | None = None


def plan_pull(query: ast.Query, catalog: Catalog, config: Mapping[str, Any]) -> PlannedQuery:
    """The plan of a pull query; KsqlError for clauses that it cannot have."""
    refused = {
        "GROUP BY": query.group_by,
        "PARTITION BY": query.partition_by,
        "HAVING": query.having,
        "WINDOW": query.window,
    }
    for clause, given in refused.items():
        if given:
            raise KsqlError(f"Pull queries don't support {clause} clauses.")
    if isinstance(query.source, ast.Join):
        raise KsqlError("Pull queries don't support JOIN clauses.")
    return plan_query(query, catalog, config, persistent=False)


def not_queryable(source: DataSource) -> KsqlError:
    return KsqlError(
        f"The `{source.name}` table isn't queryable. To derive a queryable table, you can do 'CREATE TABLE "
        f"QUERYABLE_{source.name} AS SELECT * FROM {source.name}'. See https://cnfl.io/queries for more info.\n"
        "Add EMIT CHANGES if you intended to issue a push query."
    )


def answer(
    planned: PlannedQuery, query: ast.Query, materialised: Topology, log: Callable[[ProcessingError], None]
) -> list[Sequence[Any]]:
    """The rows of the result; the caller has the lock of the topology's query."""
    node = sources(planned.node)[0]
    build = row_builder(node)
    records = []
    for row in rows(materialised, _wanted_keys(query, node.source)):
        value = build(row.value, row.key, row.time, 0, 0, row.window, ())
        records.append(Record(row.key, value, row.time, row.window))
    results: list[Sequence[Any]] = []

    def deliver(partition: int, found: list[Record]) -> None:
        results.extend(r.value for r in found if r.value is not None)

    runtime = Runtime("pull", lambda record: None, log, {})
    topology = Topology(planned.node, runtime, deliver)
    if records:
        topology.sources[node.source.topic][0].emit(0, records)
    return results if query.limit is None else results[: query.limit]


def _wanted_keys(query: ast.Query, source: DataSource) -> set[Any] | None:
    """The values that WHERE demands of a single key column; None if it does not pin them down."""
    if len(source.schema.key) != 1 or query.where is None:
        return None
    name = source.schema.key[0].name
    for condition in ast.operands(query.where, "AND"):
        match condition:
            case ast.Comparison("=", ast.ColumnRef(column), ast.Literal(value)) if column == name:
                return {value}
            case ast.Comparison("=", ast.Literal(value), ast.ColumnRef(column)) if column == name:
                return {value}
            case ast.InList(ast.ColumnRef(column), items) if column == name:
                if all(isinstance(i, ast.Literal) for i in items):
                    return {i.value for i in items if isinstance(i, ast.Literal)}
    return None


# --- the rows of a topology -------------------------------------------------------------------------------------------


def rows(topology: Topology, keys: set[Any] | None) -> Iterator[Row]:
    """The rows of the table that a persistent query fills, all of them or those of the keys given."""
    sink = topology.operators[0]
    assert isinstance(sink, (Sink, Materializer))
    if sink.store is not None:
        for table in sink.store.tables.values():
            for key, value, time, window in table.values():
                if keys is None or key[0] in keys:
                    yield Row(tuple(key), value, time, window and tuple(window))
        return
    *projections, aggregation = [
        o for o in topology.operators[1:] if isinstance(o, (Project, Aggregation, TableAggregation))
    ]
    last = [p for p in reversed(projections) if isinstance(p, Project)]
    for record in _groups(aggregation, keys):
        for project in last:
            record = record.with_value(None if record.value is None else project.row(record.value))
        if record.value is not None:
            yield Row(record.key or (), record.value, record.time, record.window)


def _groups(aggregation: Any, keys: set[Any] | None) -> Iterator[Record]:
    """The groups of an aggregation that HAVING lets pass, as rows."""
    change, store = aggregation.aggregator.change, aggregation.store
    for table in store.tables.values():
        match aggregation:
            case GroupAggregation() | TableAggregation():
                for key, entry in keyed_entries(_entries(table, keys, aggregation)):
                    yield Record(key, change(key, entry), entry[0])
            case WindowAggregation():
                for start in sorted(table):
                    bounds = (start, start + aggregation.size)
                    if aggregation.emitted is None or _is_final(aggregation, bounds):
                        for key, entry in keyed_entries(_entries(table[start], keys, aggregation)):
                            yield Record(key, change(key, entry, *bounds), entry[0], bounds)
            case SessionAggregation():
                for _, (key, sessions) in _entries(table, keys, aggregation):
                    for s in sessions:
                        yield Record(tuple(key), change(tuple(key), s, s[0], s[1]), s[1], (s[0], s[1]))


def _is_final(aggregation: WindowAggregation, bounds: Window) -> bool:
    assert aggregation.emitted is not None
    closed = max((aggregation.emitted.get(p) for p in aggregation.store.tables), default=-1)
    return bounds[1] <= closed


def _entries(table: Mapping[Any, Any], keys: set[Any] | None, aggregation: Any) -> Iterator[tuple[Any, Any]]:
    """The items of a store's table, all or those of some single-column keys."""
    if keys is None:
        yield from table.items()
        return
    for key in keys:
        name = aggregation.grouping.identity((key,))
        if name in table:
            yield name, table[name]


def result_keys(planned: PlannedQuery, *, with_bounds: bool = False) -> list[str]:
    """Which columns of the result are the table's key, by name; in pull queries the bounds of its windows are, too."""
    keys = {c.name for c in sources(planned.node)[0].source.schema.key}
    if with_bounds and planned.window is not None:
        keys |= set(WINDOW_BOUNDS)
    return [c.name for c in planned.columns if c.name in keys]
