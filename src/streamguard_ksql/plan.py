"""The plan of a query: a tree of frozen nodes, from the sources below to the sink on top, as EXPLAIN shows it.

    Sink(fraud_alerts)
      Project(ALERT_ID, RULE, ...)
        Filter(AMOUNT > 3000)
          StreamSource(TRANSACTIONS)

Every node says the schema of its rows: the key columns, and the value columns in the order in which they are in the
row. Expressions of a node use the value columns of the node below (its `source.schema.value`): sources copy the
key columns and system columns that are needed into the value, so that one place is enough to look.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from streamguard_ksql import ast
from streamguard_ksql.catalog import DataSource, TopicFormat, WindowInfo
from streamguard_ksql.schema import Schema

DEFAULT_GRACE_MS = 24 * 3_600_000
"""Without GRACE PERIOD a window accepts late rows until a day after its start, as Kafka Streams always did."""


def grace_ms(window: ast.Window) -> int:
    """How long after its end a window takes late rows."""
    return max(0, DEFAULT_GRACE_MS - window.size.ms) if window.grace is None else window.grace.ms


@dataclass(frozen=True)
class Node:
    """A step. `is_table`: its rows are changes of a table (by key), not events of a stream."""

    schema: Schema

    @property
    def is_table(self) -> bool:
        return False

    @property
    def inputs(self) -> tuple[Node, ...]:
        return tuple(v for f in fields(self) if isinstance(v := getattr(self, f.name), Node))

    @property
    def window(self) -> WindowInfo | None:
        """How the keys of the rows are windowed, if they are."""
        return next((i.window for i in self.inputs), None)


@dataclass(frozen=True)
class SourceColumn:
    """Where a column of a source's row comes from: origin is VALUE, KEY, HEADER or a system column's name.

    `index` is the position among the stored value columns, the key columns or the header columns.
    """

    origin: str
    index: int = 0


@dataclass(frozen=True)
class SourceNode(Node):
    """Reads a topic; `columns` says for each value column of the schema where it comes from."""

    source: DataSource
    columns: tuple[SourceColumn, ...]

    @property
    def is_table(self) -> bool:
        return self.source.is_table

    @property
    def window(self) -> WindowInfo | None:
        return self.source.window


@dataclass(frozen=True)
class FilterNode(Node):
    """Keeps the rows for which the predicate is true; over a table, a row that no longer passes becomes a tombstone."""

    source: Node
    predicate: ast.Expression
    clause: str = "WHERE"

    @property
    def is_table(self) -> bool:
        return self.source.is_table


@dataclass(frozen=True)
class ProjectNode(Node):
    """Computes the value columns; the key stays, under the names of the schema."""

    source: Node
    expressions: tuple[ast.Expression, ...]

    @property
    def is_table(self) -> bool:
        return self.source.is_table


@dataclass(frozen=True)
class FlatMapNode(Node):
    """Adds the results of table functions as columns: as many rows as the longest of them has values."""

    source: Node
    calls: tuple[ast.FunctionCall, ...]


@dataclass(frozen=True)
class SelectKeyNode(Node):
    """Gives the rows a new key (PARTITION BY, or the side of a join); empty `keys` means none (PARTITION BY NULL).

    `repartition` is false where only the form of the key changes, not its value.
    """

    source: Node
    keys: tuple[ast.Expression, ...]
    key_format: TopicFormat | None = None

    @property
    def is_table(self) -> bool:
        return self.source.is_table


@dataclass(frozen=True)
class AggregateCall:
    """One aggregate function of an aggregation and the expressions of its arguments over the source's row."""

    call: ast.FunctionCall


@dataclass(frozen=True)
class AggregateNode(Node):
    """Groups rows and aggregates them. The schema's value is: the key columns, the carried columns, the aggregates' results,
    then WINDOWSTART and WINDOWEND if windowed, and ROWTIME."""

    source: Node
    keys: tuple[ast.Expression, ...]
    aggregates: tuple[AggregateCall, ...]
    window_spec: ast.Window | None = None
    final: bool = False
    key_format: TopicFormat | None = None

    @property
    def is_table(self) -> bool:
        return True

    @property
    def window(self) -> WindowInfo | None:
        if self.window_spec is None:
            return None
        size = None if self.window_spec.kind == "SESSION" else self.window_spec.size.ms
        return WindowInfo(self.window_spec.kind, size)


@dataclass(frozen=True)
class StreamStreamJoinNode(Node):
    """Joins two streams on their keys within a time window. kind: INNER, LEFT, RIGHT or OUTER."""

    left: Node
    right: Node
    kind: str
    within: ast.Within


@dataclass(frozen=True)
class StreamTableJoinNode(Node):
    """Looks up the table's row for each row of the stream (left). kind: INNER or LEFT."""

    left: Node
    right: Node
    kind: str


@dataclass(frozen=True)
class TableTableJoinNode(Node):
    """Joins two tables on their keys. kind: INNER, LEFT, RIGHT or OUTER."""

    left: Node
    right: Node
    kind: str

    @property
    def is_table(self) -> bool:
        return True


@dataclass(frozen=True)
class ForeignKeyJoinNode(Node):
    """Joins a table with the table whose primary key an expression of the left row gives. kind: INNER or LEFT."""

    left: Node
    right: Node
    kind: str
    foreign_key: ast.Expression

    @property
    def is_table(self) -> bool:
        return True


@dataclass(frozen=True)
class SinkNode(Node):
    """Writes the rows to a topic."""

    source: Node
    target: DataSource

    @property
    def is_table(self) -> bool:
        return self.source.is_table


@dataclass(frozen=True)
class MaterializeNode(Node):
    """Keeps the rows of a table for pull queries, and writes nothing: the end of a source table's query."""

    source: Node
    target: DataSource

    @property
    def is_table(self) -> bool:
        return True


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, the inputs of a node before the node itself."""
    for child in node.inputs:
        yield from walk(child)
    yield node


def sources(node: Node) -> list[SourceNode]:
    """The source nodes of a plan, from left to right."""
    return [n for n in walk(node) if isinstance(n, SourceNode)]


def explain(node: Node, depth: int = 0) -> str:
    """The plan as an indented tree, a line per node."""
    lines = ["  " * depth + describe(node)]
    lines += [explain(child, depth + 1) for child in node.inputs]
    return "\n".join(lines)


def describe(node: Node) -> str:
    """One node in a line: what it does, then its schema."""
    from streamguard_ksql.formatter import format_expression

    match node:
        case SourceNode():
            what = f"{node.source.kind} SOURCE {node.source.name} (topic {node.source.topic})"
        case FilterNode():
            what = f"FILTER {node.clause} {format_expression(node.predicate)}"
        case ProjectNode():
            what = "PROJECT"
        case FlatMapNode():
            what = "FLAT_MAP " + ", ".join(format_expression(c) for c in node.calls)
        case SelectKeyNode():
            what = "REKEY " + (", ".join(format_expression(k) for k in node.keys) or "NULL")
        case AggregateNode():
            calls = ", ".join(format_expression(a.call) for a in node.aggregates)
            keys = ", ".join(format_expression(k) for k in node.keys)
            windowed = f" {node.window_spec.kind} WINDOW" if node.window_spec else ""
            what = f"AGGREGATE{windowed} {calls} BY {keys}" + (" FINAL" if node.final else "")
        case StreamStreamJoinNode():
            what = f"{node.kind} JOIN STREAMS WITHIN {node.within.before.ms} ms before, {node.within.after.ms} ms after"
        case StreamTableJoinNode():
            what = f"{node.kind} JOIN STREAM WITH TABLE"
        case TableTableJoinNode():
            what = f"{node.kind} JOIN TABLES"
        case ForeignKeyJoinNode():
            what = f"{node.kind} JOIN TABLES ON FOREIGN KEY {format_expression(node.foreign_key)}"
        case SinkNode():
            what = f"SINK {node.target.name} (topic {node.target.topic})"
        case MaterializeNode():
            what = f"MATERIALIZE {node.target.name}"
        case _:
            what = type(node).__name__
    return f" > [ {what} ] | Schema: {node.schema}"
