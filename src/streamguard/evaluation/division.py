"""How a replay is divided among processes by account, so that each alert is the one that a single process raises.

A process is given the transactions and labels of its accounts. What the queries make of these stays with the account as long
as it is grouped by it or joined on it: `division` follows the account through the plans of the queries. A topic whose rows
are grouped by something else, the chargebacks of a merchant for example, is exchanged: every process reads the rows of all.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamguard.evaluation.replay import LABELS, TRANSACTIONS
from streamguard_ksql import ast
from streamguard_ksql.local import LocalEngine, LocalQuery
from streamguard_ksql.local.query import Order
from streamguard_ksql.plan import (
    AggregateNode,
    FilterNode,
    FlatMapNode,
    Node,
    ProjectNode,
    SelectKeyNode,
    SinkNode,
    SourceNode,
    StreamTableJoinNode,
    sources,
)


@dataclass(frozen=True)
class Division:
    """`exchanged`: the topics that every process reads whole. `repeated`: the ids of the queries that read nothing else, and
    so do the same in every process."""

    exchanged: tuple[str, ...]
    repeated: frozenset[str]


@dataclass(frozen=True)
class _Rows:
    """Rows of a topic or a step: whether a process has those of its accounts only, whether their key is the account, and
    the columns that are."""

    divided: bool = False
    key: bool = False
    columns: frozenset[str] = frozenset()


_WHOLE = _Rows()


class _IndivisibleError(Exception):
    """The queries cannot be divided."""


class _ExchangeError(Exception):
    """They can, if a topic is exchanged."""

    def __init__(self, topic: str) -> None:
        self.topic = topic


def division(engine: LocalEngine) -> Division | None:
    """How the queries of an engine are divided by account; None where they cannot be."""
    exchanged: tuple[str, ...] = ()
    while True:
        try:
            return _Analysis(engine, exchanged).division()
        except _IndivisibleError:
            return None
        except _ExchangeError as needed:
            exchanged += (needed.topic,)


class _Analysis:
    """Goes through the queries in the order in which they run, with the topics that are exchanged as far as is known."""

    def __init__(self, engine: LocalEngine, exchanged: tuple[str, ...]) -> None:
        self._engine = engine
        self._exchanged = exchanged
        self._topics = {topic: _Rows(divided=True, key=True) for topic in (TRANSACTIONS, LABELS)}
        self._read: set[str] = set()
        self._writers: dict[str, list[LocalQuery]] = {}

    def division(self) -> Division:
        repeated = set()
        for query in self._engine.running:
            if not any(self._rows_of(topic).divided for topic in query.topics):
                repeated.add(query.query.query_id)
            self._read.update(query.topics)
            rows = self._rows(query.query.plan)
            for sink in query.query.sinks:
                self._written(sink.topic, rows)
                self._writers.setdefault(sink.topic, []).append(query)
        return Division(self._exchanged, frozenset(repeated))

    def _written(self, topic: str, rows: _Rows) -> None:
        """Note what a query writes; what all that write a topic have in common is what is known of it."""
        known = self._topics.get(topic)
        is_late = known is None and rows.divided and topic in self._read
        if is_late or (known is not None and known.divided != rows.divided):
            # Queries that read each other, or that write rows of all accounts and of some to one topic.
            raise _IndivisibleError
        if known is not None:
            rows = _Rows(rows.divided, known.key and rows.key, known.columns & rows.columns)
        self._topics[topic] = rows

    def _rows_of(self, topic: str) -> _Rows:
        return _WHOLE if topic in self._exchanged else self._topics.get(topic, _WHOLE)

    def _rows(self, node: Node) -> _Rows:
        match node:
            case SourceNode():
                return self._source(node)
            case StreamTableJoinNode():
                return self._join(node)
            case AggregateNode():
                return self._aggregate(node)
            case FilterNode() | FlatMapNode() | SinkNode():
                return self._rows(node.source)
            case ProjectNode():
                below = self._rows(node.source)
                pairs = zip(node.schema.value, node.expressions, strict=False)
                return _Rows(below.divided, below.key, frozenset(c.name for c, e in pairs if _is_account(e, below)))
            case SelectKeyNode():
                below = self._rows(node.source)
                return _Rows(below.divided, _is_key(node.keys, below), below.columns)
        if any(self._rows(below).divided for below in node.inputs):
            raise _IndivisibleError
        return _WHOLE

    def _source(self, node: SourceNode) -> _Rows:
        rows = self._rows_of(node.source.topic)
        if not rows.divided:
            return _WHOLE
        key = rows.key and len(node.source.schema.key) == 1
        stored = node.source.schema.stored
        columns = {
            column.name
            for column, origin in zip(node.schema.value, node.columns, strict=True)
            if (origin.origin == "KEY" and key)
            or (origin.origin == "VALUE" and stored[origin.index].name in rows.columns)
        }
        return _Rows(divided=True, key=key, columns=frozenset(columns))

    def _aggregate(self, node: AggregateNode) -> _Rows:
        below = self._rows(node.source)
        if not below.divided:
            return _WHOLE
        if node.final:
            # Which windows close when, all accounts of a partition decide together.
            raise _IndivisibleError
        if not _is_key(node.keys, below):
            raise self._needs(node)
        return _Rows(divided=True, key=True, columns=frozenset({node.schema.value[0].name}))

    def _join(self, node: StreamTableJoinNode) -> _Rows:
        left, right = self._rows(node.left), self._rows(node.right)
        if not right.divided:
            return left
        if not left.divided:
            raise _IndivisibleError
        if not (left.key and right.key):
            raise self._needs(node.right)
        return _Rows(divided=True, key=True, columns=left.columns | right.columns)

    def _needs(self, node: Node) -> _ExchangeError | _IndivisibleError:
        """The topic below a node that has to be exchanged, where its rows can be put into one order."""
        for source in sources(node):
            topic = source.source.topic
            if self._rows_of(topic).divided:
                can_be = self._is_ordered(topic) and self._engine.hands_over(topic)
                return _ExchangeError(topic) if can_be else _IndivisibleError()
        return _IndivisibleError()

    def _is_ordered(self, topic: str) -> bool:
        """Whether the rows of a topic come of labels, which have numbers, each by itself and in their order."""
        writers = self._writers.get(topic, [])
        return len(writers) == 1 and all(
            query.order is Order.BY_PARTITION and sources(query.query.plan)[0].source.topic == LABELS
            for query in writers
        )


def _is_account(expression: ast.Expression, rows: _Rows) -> bool:
    """Whether an expression over rows is their account."""
    if isinstance(expression, ast.FunctionCall) and expression.name == "AS_VALUE":
        return _is_account(expression.args[0], rows)
    return isinstance(expression, ast.ColumnRef) and expression.name in rows.columns


def _is_key(keys: tuple[ast.Expression, ...], rows: _Rows) -> bool:
    """Whether rows that get these keys are keyed by their account."""
    return len(keys) == 1 and _is_account(keys[0], rows)
