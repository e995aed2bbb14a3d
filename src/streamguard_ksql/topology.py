"""A plan brought to life: for each node its operator, wired from the sources to the sink.

    topology = Topology(plan, runtime)
    topology.feed(partition, messages)     # bytes in; results leave through runtime.output

A topology is driven by its caller, one batch of one topic and partition at a time, and keeps no thread of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.hashing import partition_for
from streamguard_ksql.operators import aggregate, joins, stateless
from streamguard_ksql.operators.base import Operator, Receive, Runtime
from streamguard_ksql.operators.keys import inner_key
from streamguard_ksql.operators.record import Batch, InputRecord, Record
from streamguard_ksql.operators.sinks import Materializer, RowSink, Sink, gives_rows
from streamguard_ksql.operators.sources import StreamSource, TableSource
from streamguard_ksql.operators.state import Store
from streamguard_ksql.plan import (
    AggregateNode,
    FilterNode,
    FlatMapNode,
    ForeignKeyJoinNode,
    MaterializeNode,
    Node,
    ProjectNode,
    SelectKeyNode,
    SinkNode,
    SourceNode,
    StreamStreamJoinNode,
    StreamTableJoinNode,
    TableTableJoinNode,
    grace_ms,
    walk,
)
from streamguard_ksql.schema import Column
from streamguard_ksql.types import Array, Map, Struct

MOST_AHEAD_MS = 1_000
"""Of one partition before another in the same windows, where their grace is long enough: records in turn would cost more."""

JOINS: dict[type[Node], Any] = {
    StreamStreamJoinNode: joins.StreamStreamJoin,
    StreamTableJoinNode: joins.StreamTableJoin,
    TableTableJoinNode: joins.TableTableJoin,
    ForeignKeyJoinNode: joins.ForeignKeyJoin,
}


class Topology:
    """The operators of one query. `deliver` gets the rows of a plan without a sink (a push query's)."""

    def __init__(self, plan: Node, runtime: Runtime, deliver: Receive | None = None) -> None:
        self.runtime = runtime
        self.plan = plan
        self.sources: dict[str, list[StreamSource | TableSource]] = {}
        self.operators: list[Any] = []
        self._placed = False
        """Whether the operators above the one that is being built have state by partition."""
        self._build(plan, deliver or _nowhere, needs_old=False)

    @property
    def topics(self) -> list[str]:
        """The topics that the query reads."""
        return list(self.sources)

    @property
    def times_of(self) -> dict[str, Callable[[Batch], list[int]]]:
        """For topics whose records have their times in a column: what reads the times of a batch."""
        readers = {topic: sources[0].reader for topic, sources in self.sources.items()}
        return {topic: reader.times for topic, reader in readers.items() if reader.time is not None}

    def feed(self, partition: int, messages: Sequence[InputRecord]) -> None:
        """Process a batch of one topic's partition, in order; each record by all the sources over the topic in turn."""
        found = self.sources[messages[0].topic]
        if len(found) == 1:
            found[0].read(partition, messages)
            return
        whole = messages if isinstance(messages, Batch) else Batch(messages)
        for i in range(len(whole)):
            one = whole.part(i, i + 1)
            for source in found:
                source.read(partition, one)

    # --- building -----------------------------------------------------------------------------------------------------

    def _build(self, node: Node, emit: Receive, *, needs_old: bool) -> None:
        """Create the operator of a node, then those below it. `needs_old`: who receives wants to know old values."""
        if isinstance(node, SourceNode):
            self._build_source(node, emit, needs_old)
            return
        if isinstance(node, FilterNode) and isinstance(node.source, SourceNode) and not node.is_table:
            # WHERE right above a stream is evaluated while reading it.
            reader = self._build_source(node.source, emit, needs_old).reader
            reader.filter(node)
            reader.shares_rows = isinstance(getattr(emit, "__self__", None), aggregate.Aggregation)
            return
        if type(node) in JOINS:
            if isinstance(node, ForeignKeyJoinNode):
                # A row that a change on the right side brought about comes from that side's partition.
                emit = self._by_key(node, emit)
            operator = JOINS[type(node)](node, self.runtime, emit)
            self.operators.append(operator)
            self._placed = True
            left, right = node.inputs
            receive_left, receive_right = operator.left, operator.right
            if exchanges(node):
                receive_left, receive_right = self._by_key(left, receive_left), self._by_key(right, receive_right)
            self._build(left, receive_left, needs_old=False)
            if isinstance(operator, joins.StreamTableJoin) and operator.inner:
                self._probe(left, operator.store)
            self._build(right, receive_right, needs_old=False)
            return
        operator, below_needs_old = self._operator(node, emit, needs_old)
        self.operators.append(operator)
        self._placed = self._placed or isinstance(operator, (aggregate.Aggregation, aggregate.TableAggregation))
        below = node.inputs[0]
        if isinstance(below, AggregateNode) and isinstance(
            operator, (aggregate.Aggregation, aggregate.TableAggregation)
        ):
            below = below.source
        self._build(below, operator.receive, needs_old=below_needs_old)

    def _probe(self, stream: Node, store: Store) -> None:
        """Look a record of a stream up in the table that it is joined with before a row is made of it."""
        if not isinstance(stream, SelectKeyNode) or len(stream.keys) != 1:
            return
        below = stream.source.source if isinstance(stream.source, FilterNode) else stream.source
        if isinstance(below, SourceNode) and not isinstance(stream.schema.key[0].type, Array | Map | Struct):
            self.sources[below.source.topic][-1].reader.only_partners(stream.keys[0], store.tables)

    def _operator(self, node: Node, emit: Receive, needs_old: bool) -> tuple[Operator, bool]:
        runtime = self.runtime
        match node:
            case SinkNode() if runtime.rows is not None and gives_rows(node.target):
                return RowSink(node.target, runtime), False
            case SinkNode():
                return Sink(node.target, node.source.window, runtime, self._table_store(node)), False
            case MaterializeNode():
                return Materializer(runtime), False
            case FilterNode(source=AggregateNode() as aggregation):
                # HAVING is evaluated inside the aggregation: see aggregator.Aggregator.
                return self._aggregation(aggregation, emit, needs_old, node.predicate)
            case FilterNode() if node.is_table:
                return stateless.TableFilter(node, runtime, emit), True
            case FilterNode():
                return stateless.Filter(node, runtime, emit), False
            case ProjectNode():
                return stateless.Project(node, runtime, emit, with_old=needs_old), needs_old
            case FlatMapNode():
                return stateless.FlatMap(node, runtime, emit), False
            case SelectKeyNode():
                partition_of = self._partition_of(node.schema.key) if self._placed else None
                return stateless.SelectKey(node, runtime, emit, partition_of), needs_old
            case AggregateNode():
                return self._aggregation(node, emit, needs_old)
        raise TypeError(f"no operator for {type(node).__name__}")

    def _table_store(self, node: SinkNode) -> Store | None:
        """Where a table is kept for pull queries, unless the aggregation below has it in its store."""
        if not node.is_table or any(isinstance(n, AggregateNode) for n in _chain(node)):
            return None
        return self.runtime.stores.add(Store("Table"))

    def _aggregation(
        self, node: AggregateNode, emit: Receive, needs_old: bool, having: ast.Expression | None = None
    ) -> tuple[Operator, bool]:
        task = aggregate.Task(node, self.runtime, emit, self._group_partition(node), having, needs_old)
        if node.source.is_table:
            return aggregate.TableAggregation(task), True
        if node.window_spec is None:
            kind: type[aggregate.Aggregation] = aggregate.GroupAggregation
        elif node.window_spec.kind == "SESSION":
            kind = aggregate.SessionAggregation
        else:
            kind = aggregate.WindowAggregation
        return kind(task), False

    def _build_source(self, node: SourceNode, emit: Receive, needs_old: bool) -> StreamSource | TableSource:
        source: StreamSource | TableSource
        if node.source.is_table:
            store = self.runtime.stores.add(Store(f"Source.{node.source.name}")) if needs_old else None
            source = TableSource(node, self.runtime, emit, store)
        else:
            source = StreamSource(node, self.runtime, emit)
        self.sources.setdefault(node.source.topic, []).append(source)
        return source

    # --- partitions ---------------------------------------------------------------------------------------------------

    def _partition_of(self, key: tuple[Column, ...]) -> Callable[[tuple[Any, ...] | None], int]:
        """Where rows of a new key go: the partition that a producer would choose for the serialised key."""
        partitions = self.runtime.partitions
        if partitions == 1:
            return lambda values: 0
        write = inner_key(key)
        return lambda values: 0 if values is None else partition_for(write(values), partitions)

    def _by_key(self, node: Node, emit: Receive) -> Receive:
        """Pass rows on in the partitions of their keys, as they hash within the engine."""
        if self.runtime.partitions == 1:
            return lambda partition, records: emit(0, records)
        partition_of = self._partition_of(node.schema.key)

        def distribute(partition: int, records: list[Record]) -> None:
            batches: dict[int, list[Record]] = {}
            for record in records:
                batches.setdefault(partition_of(record.key), []).append(record)
            for target, batch in batches.items():
                emit(target, batch)

        return distribute

    def _group_partition(self, node: AggregateNode) -> aggregate.PartitionOf:
        """Groups stay in their rows' partition where GROUP BY keeps the key; else they go where the new key hashes to."""
        return self._partition_of(node.schema.key) if moves_groups(node) else None


def moves_groups(node: AggregateNode) -> bool:
    """Whether GROUP BY gives rows another key, and with it another partition."""
    keys = [c.name for c in node.source.schema.key]
    return node.source.is_table or not node.keys or keys != [getattr(k, "name", None) for k in node.keys]


def most_ahead_ms(plan: Node, *, makes_stream: bool = False) -> int | None:
    """How far a partition may be read ahead of another one, by the times of records. Where rows of several come together in
    windows: further ahead, it would make the others' rows late. A stream that a query makes is read by such queries, perhaps.
    None for others.
    """
    windows = [n.window_spec for n in walk(plan) if isinstance(n, AggregateNode) and moves_groups(n)]
    graces = [grace_ms(window) for window in windows if window is not None]
    if not graces and not makes_stream:
        return None
    return min(MOST_AHEAD_MS, *(grace // 10 for grace in graces), MOST_AHEAD_MS)


def exchanges(node: Node) -> bool:
    """Whether the sides of a join have to be moved to meet: one has a new key, or their keys' bytes or partitions differ."""
    left, right = node.inputs
    return not isinstance(node, ForeignKeyJoinNode) and _placement(left) != _placement(right)


def _placement(node: Node) -> object:
    """What decides the partition of a node's rows: the format and partitions of a topic, or the engine's own hashing."""
    match node:
        case SourceNode():
            return node.source.key_format.name, node.source.partitions
        case SelectKeyNode() | ForeignKeyJoinNode():
            return "inner"
        case _ if type(node) in JOINS and exchanges(node):
            return "inner"
        case _:
            return _placement(node.inputs[0])


def _chain(node: Node) -> Iterator[Node]:
    """The node and those below it, down to the first with several inputs or none."""
    while True:
        yield node
        if len(node.inputs) != 1 or isinstance(node, AggregateNode):
            return
        node = node.inputs[0]


def _nowhere(partition: int, records: list[Record]) -> None:
    """The end of a plan that has a sink."""
