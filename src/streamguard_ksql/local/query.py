"""One query of a local engine, and the order in which it is given its records.

How a query's records are ordered depends on where its state is (`Order`). Each way gives the same results for any division
of the records into batches, as long as their times do not go back from batch to batch.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Any

from streamguard_ksql.engine import PersistentQuery
from streamguard_ksql.errors import FatalRecordError
from streamguard_ksql.operators.base import ProcessingError, Runtime
from streamguard_ksql.operators.order import by_time, merge_by_time
from streamguard_ksql.operators.record import Batch, Merged, OutputRecord, Record
from streamguard_ksql.operators.sinks import Sink, gives_rows
from streamguard_ksql.operators.sources import Reader
from streamguard_ksql.operators.state import Stores
from streamguard_ksql.plan import (
    AggregateNode,
    ForeignKeyJoinNode,
    Node,
    SelectKeyNode,
    SinkNode,
    StreamStreamJoinNode,
    StreamTableJoinNode,
    TableTableJoinNode,
    sources,
    walk,
)
from streamguard_ksql.topology import Topology, exchanges, moves_groups

log = logging.getLogger(__name__)

JOINS = (StreamStreamJoinNode, StreamTableJoinNode, TableTableJoinNode, ForeignKeyJoinNode)


class Order(Enum):
    """In which order a query takes the records of several partitions."""

    AS_FED = auto()
    """No state belongs to a partition of the source: there is none, or GROUP BY moves the rows first."""
    AS_ONE = auto()
    """Streams are joined with tables after the rows of both have moved to the partition of their key: as nothing but the
    key decides what meets, one partition is as good as many. Topics are merged by time."""
    BY_PARTITION = auto()
    """All state belongs to a partition of the sources: each is worked through by itself, topics merged by time."""
    BY_TIME = auto()
    """Rows move between partitions: all of them are merged by time."""


def order_of(plan: Node) -> Order:
    """The cheapest order that gives the results of all partitions merged."""
    nodes = list(walk(plan))
    has_joins = any(isinstance(n, JOINS) for n in nodes)
    grouped = [n for n in nodes if isinstance(n, AggregateNode)]
    moved = any(moves_groups(n) for n in grouped)
    if not has_joins and (moved or not grouped) and not any(n.source.is_table for n in sources(plan)):
        return Order.AS_FED
    stateful = [n for n in nodes if isinstance(n, (*JOINS, AggregateNode))]
    if all(isinstance(n, StreamTableJoinNode) and exchanges(n) for n in stateful) and has_joins:
        return Order.AS_ONE
    if moved or any(isinstance(n, JOINS) and _joins_across(n) for n in nodes):
        return Order.BY_TIME
    if any(isinstance(below, SelectKeyNode) for n in stateful for below in walk(n)):
        return Order.BY_TIME
    return Order.BY_PARTITION


def _joins_across(node: Node) -> bool:
    return isinstance(node, ForeignKeyJoinNode) or exchanges(node)


class LocalQuery:
    """A query with its state. `failure` is the reason why it has ended, None while it runs."""

    def __init__(
        self,
        query: PersistentQuery,
        partitions: Mapping[str, int],
        report: Callable[[ProcessingError], None],
        stores: Stores | None = None,
    ) -> None:
        self.query = query
        self.skipped: Counter[str] = Counter()
        """Records that were left out, by reason (see `operators.base.Skip`)."""
        self.errors = 0
        """Entries of the processing log."""
        self.consumed = 0
        self.produced = 0
        self.failure: str | None = None
        self._report = report
        self._waiting: dict[str, list[Batch]] = {}
        self.order = order_of(query.plan)
        self._bytes: list[OutputRecord] = []
        self._rows: list[Record] = []
        self._of_partitions: list[list[Any]] = []
        """What a batch has given so far, by partition."""
        self._runtime = Runtime(
            query.query_id,
            self._bytes.append,
            self._log,
            query.config,
            partitions=1 if self.order is Order.AS_ONE else max(partitions.values()),
            skipped=self.skipped,
            rows=self._rows.extend,
            logged=False,
        )
        self._topology = Topology(query.plan, self._runtime)
        if stores is not None:
            self._runtime.stores.adopt(stores)
        self.gives_rows = isinstance(query.plan, SinkNode) and gives_rows(query.target)
        self._sink: Sink | None = None
        self._times_of = self._topology.times_of

    @property
    def topics(self) -> list[str]:
        """The topics that the query reads."""
        return self._topology.topics

    @property
    def readers(self) -> list[tuple[str, Reader]]:
        """How it reads each of its topics."""
        return [(topic, source.reader) for topic, found in self._topology.sources.items() for source in found]

    @property
    def stores(self) -> Stores:
        return self._runtime.stores

    def receive(self, topic: str, batch: Batch) -> None:
        """Take new records of a topic in; one that has ended takes nothing."""
        if batch and self.failure is None:
            self._waiting.setdefault(topic, []).append(batch)

    @property
    def waits(self) -> bool:
        """Whether it has records to process."""
        return bool(self._waiting)

    def process(self) -> list[Any]:
        """Process the records that wait; what it made of them: rows if it `gives_rows`, else records of its topic."""
        inputs = {
            topic: found[0] if len(found) == 1 else Merged(found, by_time([[r.time for r in part] for part in found]))
            for topic, found in self._waiting.items()
        }
        self._waiting = {}
        try:
            written = self._feed(inputs)
        except FatalRecordError as error:
            written = self._end(error.message)
        except Exception as error:
            log.exception("query %s has ended", self.query.query_id)
            written = self._end(f"{type(error).__name__}: {error}")
        self._runtime.stores.forget_changes()
        self.produced += len(written)
        return written

    def written(self, made: list[Any]) -> list[OutputRecord]:
        """What it made as records of its topic."""
        if not self.gives_rows:
            return made
        if self._sink is None:
            self._sink = Sink(self.query.target, self.query.plan.source.window, self._runtime)
        self._sink.receive(0, made)
        return self._take()

    def _end(self, reason: str) -> list[Any]:
        """End with a reason; the results of what came before stay."""
        self.failure = reason
        self._of_partitions.append(self._take())
        return merge_by_time(self._of_partitions)

    def _take(self) -> list[Any]:
        taken: list[Any] = self._rows + self._bytes
        self._rows.clear()
        self._bytes.clear()
        return taken

    def _feed(self, inputs: Mapping[str, Batch]) -> list[Any]:
        self._of_partitions = []
        self.consumed += sum(map(len, inputs.values()))
        batches = list(inputs.values())
        if self.order in (Order.AS_FED, Order.AS_ONE) and len(batches) == 1:
            self._topology.feed(0, batches[0])
            return self._take()
        if self.order in (Order.AS_ONE, Order.BY_TIME):
            self._merged(batches)
            return self._take()
        split = [batch.by_partition() for batch in batches]
        for partition in sorted({p for parts in split for p in parts}):
            parts = [parts[partition] for parts in split if partition in parts]
            if len(parts) == 1:
                self._topology.feed(partition, parts[0])
            else:
                self._merged(parts)
            self._of_partitions.append(self._take())
        return merge_by_time(self._of_partitions)

    def _merged(self, batches: list[Batch]) -> None:
        """Feed the records of several topics, the earliest first, each topic's in their order.

        As many at once as follow each other; where rows move between partitions each by itself, or those that move to
        the same one would come out together.
        """
        places = [(batch, i) for batch in batches for i in range(len(batch))]
        order = by_time([self._times(batch) for batch in batches])
        start = 0
        for n in range(1, len(order) + 1):
            if (
                n == len(order)
                or self.order is Order.BY_TIME
                or order[n] != order[n - 1] + 1
                or places[order[n]][0] is not places[order[start]][0]
            ):
                batch, first = places[order[start]]
                partition = 0 if self.order is Order.AS_ONE else batch[first].partition
                self._topology.feed(partition, batch.part(first, first + n - start))
                start = n

    def _times(self, batch: Batch) -> Sequence[int]:
        times_of = self._times_of.get(batch[0].topic)
        return [record.time for record in batch] if times_of is None else times_of(batch)

    def _log(self, error: ProcessingError) -> None:
        self.errors += 1
        self._report(error)
