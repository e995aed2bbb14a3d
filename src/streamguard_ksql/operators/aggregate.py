"""GROUP BY: aggregates over all rows of a group, over its time windows, or over its sessions.

Time is that of the events, never the clock's. Each partition has its own stream time, the greatest time seen in it; a
window is closed once stream time has passed its end and its grace, and what comes later for it is left out and counted.

Source: docs/concepts/time-and-windows-in-ksqldb-queries.md; Kafka Streams' documentation of windowing and grace.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.operators.aggregator import FIRST_STATE, Accumulate, Aggregator
from streamguard_ksql.operators.base import Operator, Receive, Runtime, Skip
from streamguard_ksql.operators.grouping import Grouping
from streamguard_ksql.operators.loops import Loops
from streamguard_ksql.operators.order import merge_by_time
from streamguard_ksql.operators.record import Record
from streamguard_ksql.operators.state import Store, WindowStore
from streamguard_ksql.plan import AggregateNode, grace_ms

PartitionOf = Callable[[tuple[Any, ...]], int] | None
"""The partition of a group where GROUP BY changes the key; None where groups stay in the partition of their rows."""


@dataclass(frozen=True)
class Task:
    """What an aggregation is made for. `with_old`: the operator that receives its changes needs the values before."""

    node: AggregateNode
    runtime: Runtime
    emit: Receive
    partition_of: PartitionOf
    having: ast.Expression | None
    with_old: bool = False


class Aggregation(Operator, ABC):
    """The base of all aggregations over streams; HAVING is part of it.

    Nothing behind it has state by partition: changes of several partitions are passed on together, in the order of time.
    A group that HAVING does not let pass is no row of the table: one that passed and no longer does becomes a tombstone.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task.emit)
        self.runtime = task.runtime
        self.aggregator = Aggregator(task.node, task.runtime, task.having)
        self.grouping = Grouping(task.node, task.runtime)
        self.partition_of = task.partition_of
        self.with_old = task.with_old

    def _those_that_pass(self, entries: Mapping[Any, list[Any]], start: int = 0, end: int = 0) -> set[Any]:
        """The groups among entries, those of a state that was restored for example, that HAVING lets pass."""
        return {
            name for name, entry in entries.items() if self.aggregator.passes(_key_of(name, entry), entry, start, end)
        }

    def receive(self, partition: int, records: list[Record]) -> None:
        found: list[list[Record]] = []
        try:
            for target, batch in self._by_partition(partition, records).items():
                found.append([])
                self.accumulate(target, batch, found[-1])
        finally:
            # Also what came before a record that ends the query.
            results = merge_by_time(found)
            if results:
                self.emit(partition, results)

    def _by_partition(self, partition: int, records: list[Record]) -> dict[int, list[Record]]:
        """The records of each partition of the groups; those of no group are left out, and reported, where they move."""
        if self.partition_of is None:
            return {partition: records}
        batches: dict[int, list[Record]] = {}
        for r in records:
            if (key := self.grouping.key(r.value)) is not None:
                batches.setdefault(self.partition_of(key), []).append(r)
        return batches

    @abstractmethod
    def accumulate(self, partition: int, batch: list[Record], results: list[Record]) -> None:
        """Accumulate the rows of a partition, in order; the changes of the table that follow from it go to `results`."""


class GroupAggregation(Aggregation):
    """Over all rows of a group. Entries: key, to [time, key or None (see `keyed_entries`), states...]."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.store = task.runtime.stores.add(Store("Aggregate"))
        self._passing: dict[int, set[Any]] = {}
        """By partition."""
        loops = Loops(self.aggregator, self.grouping, with_old=self.with_old, notes=task.runtime.logged)
        self._notes_passing = loops.notes_passing
        self._loop = loops.of_groups()

    def accumulate(self, partition: int, batch: list[Record], results: list[Record]) -> None:
        table = self.store.table(partition)
        self._loop(batch, table, self.store.dirty(partition).add, self._passing_of(partition, table), results.append)

    def _passing_of(self, partition: int, table: dict[Any, list[Any]]) -> set[Any]:
        """The groups of a partition that HAVING lets pass, as of their last change, where the loop asks for that."""
        if partition not in self._passing:
            self._passing[partition] = self._those_that_pass(table) if self._notes_passing else set()
        return self._passing[partition]


class TableAggregation(Operator):
    """Over the rows of a table: a change takes the old row out of its group and puts the new one into its own."""

    def __init__(self, task: Task) -> None:
        super().__init__(task.emit)
        self.aggregator = Aggregator(task.node, task.runtime, task.having)
        self.grouping = Grouping(task.node, task.runtime)
        self.partition_of = task.partition_of
        self.store = task.runtime.stores.add(Store("Aggregate"))

    def receive(self, partition: int, records: list[Record]) -> None:
        assert self.aggregator.undo is not None
        for r in records:
            for row, accumulate in ((r.old, self.aggregator.undo), (r.value, self.aggregator.add)):
                key = self.grouping.key(row)
                if key is not None:
                    target = partition if self.partition_of is None else self.partition_of(key)
                    change = self._change(target, key, row, r, accumulate)
                    if change is not None:
                        self.emit(target, [change])

    def _change(
        self, partition: int, key: tuple[Any, ...], row: Any, r: Record, accumulate: Accumulate
    ) -> Record | None:
        name = self.grouping.identity(key)
        entry = self.store.get(partition, name)
        old = None if entry is None else self.aggregator.change(key, entry)
        if entry is None:
            entry = self.aggregator.entry(r.time, key if key is not name else None)
        accumulate(entry, row)
        entry[0] = max(entry[0], r.time)
        self.store.put(partition, name, entry)
        new = self.aggregator.change(key, entry)
        return None if new is None and old is None else Record(key, new, entry[0], None, r.headers, old)


def keyed_entries(items: Iterable[tuple[Any, list[Any]]]) -> Iterator[tuple[tuple[Any, ...], list[Any]]]:
    """Groups as (key, entry). An entry has its key only where what it is filed under is not the key itself."""
    for name, entry in items:
        yield _key_of(name, entry), entry


def _key_of(name: Any, entry: list[Any]) -> tuple[Any, ...]:
    return name if entry[1] is None else tuple(entry[1])


class StreamTime:
    """The greatest event time seen per partition; survives restarts with the state it governs."""

    def __init__(self, runtime: Runtime, name: str) -> None:
        self.store = runtime.stores.numbered(Store(name))

    def get(self, partition: int) -> int:
        found: int = self.store.table(partition).get((), -1)
        return found

    def set(self, partition: int, time: int) -> None:
        self.store.put(partition, (), time)


class WindowAggregation(Aggregation):
    """Over tumbling or hopping windows. Entries: (window start, key), to [time, key or None, states...]."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        node, runtime = task.node, task.runtime
        window = node.window_spec
        assert window is not None
        self.size = window.size.ms
        self.advance = window.advance.ms if window.advance else self.size
        self.grace = grace_ms(window)
        self.retention = max(window.retention.ms if window.retention else 0, self.size + self.grace)
        self.final = node.final
        self.store = WindowStore("Aggregate")
        runtime.stores.add(self.store)
        self.stream_time = StreamTime(runtime, "Aggregate.time")
        self.emitted = StreamTime(runtime, "Aggregate.emitted") if node.final else None

        loops = Loops(
            self.aggregator, self.grouping, with_old=self.with_old, emits=not self.final, notes=runtime.logged
        )
        self._notes_passing = loops.notes_passing
        self._passing: dict[int, dict[int, set[Any]]] = {}
        """By partition and start of the window."""
        self._partition = 0
        """That of the batch which is being accumulated."""
        closing = self._closing if self.final else None
        self._loop = loops.of_windows(self.size, self.advance, self.grace, self._late, closing)

    def accumulate(self, partition: int, batch: list[Record], results: list[Record]) -> None:
        changed, table = self.store.changed(partition), self.store.table(partition)
        before = self.stream_time.get(partition)
        self._partition = partition

        passing = self._passing.setdefault(partition, {})

        def enter(start: int) -> tuple[dict[Any, list[Any]], Callable[[Any], None], set[Any]]:
            entries = table.get(start)
            if entries is None:
                entries = table[start] = {}
            those = passing.get(start)
            if those is None:
                those = passing[start] = self._passing_of(start, entries)
            return entries, changed[start].add, those

        now = self._loop(batch, enter, before, results.append)
        if now > before:
            self.stream_time.set(partition, now)
            self.store.drop_before(partition, now - self.retention)
            for gone in passing.keys() - table.keys():
                del passing[gone]

    def _passing_of(self, start: int, entries: dict[Any, list[Any]]) -> set[Any]:
        """The groups of a window that HAVING lets pass, as of their last change, where the loop asks for that."""
        if not entries or not self._notes_passing:
            return set()
        return self._those_that_pass(entries, start, start + self.size)

    def _closing(self, before: int, now: int) -> list[Record]:
        """The results of the windows that close as stream time goes from `before` to `now`.

        Not at the end of the batch: by then the windows that close now may be past their retention.
        """
        offset = self.size + self.grace
        closes = (now - offset) // self.advance > (before - offset) // self.advance
        return self._finished(self._partition, now - self.grace) if closes else []

    def _late(self, key: tuple[Any, ...], record: Record, start: int) -> None:
        self.runtime.row_error(
            "Aggregate",
            f"Skipping record for expired window [{start}, {start + self.size}): key {key}",
            record.value,
            Skip.LATE,
        )

    def _finished(self, partition: int, closed: int) -> list[Record]:
        """EMIT FINAL: the results of the windows that have closed since the last look, oldest first."""
        assert self.emitted is not None
        last = self.emitted.get(partition)
        self.emitted.set(partition, max(last, closed))
        results = []
        table = self.store.table(partition)
        oldest = max(table, default=0) - self.retention
        for start in sorted(s for s in table if last < s + self.size <= closed):
            if start < oldest:
                # Kafka Streams' store has dropped it by now: the cluster would not emit this window either.
                self.runtime.row_error(
                    "Aggregate", f"Window {start} expired before its final result was emitted", len(table[start])
                )
                continue
            bounds = (start, start + self.size)
            entries = keyed_entries(table[start].items())
            for key, entry in sorted(entries, key=lambda found: self.grouping.bytes_of(found[0]) or b""):
                row = self.aggregator.change(key, entry, *bounds)
                if row is not None:
                    results.append(Record(key, row, entry[0], bounds))
        return results


class SessionAggregation(Aggregation):
    """Over sessions: runs of rows of a group no further apart than the gap. Entries: key, to its list of sessions.

    A session is [start, end, states...]; one that grows is first withdrawn (a tombstone) and then emitted again. It is closed
    once stream time has passed its end by the gap, within which it may still grow, and the grace.
    """

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        node, runtime = task.node, task.runtime
        window = node.window_spec
        assert window is not None
        self.gap = window.size.ms
        self.grace = grace_ms(window)
        self.retention = max(window.retention.ms if window.retention else 0, self.gap + self.grace)
        self.final = node.final
        self.store = runtime.stores.add(Store("Aggregate"))
        self.stream_time = StreamTime(runtime, "Aggregate.time")
        self.emitted = StreamTime(runtime, "Aggregate.emitted") if node.final else None
        self._swept: dict[int, int] = {}

    def accumulate(self, partition: int, batch: list[Record], results: list[Record]) -> None:
        before = now = self.stream_time.get(partition)
        for r in batch:
            if (key := self.grouping.key(r.value)) is None:
                continue
            now = max(now, r.time)
            changes = self._accumulate_one(partition, key, r, now - self.gap - self.grace)
            if not self.final:
                results += changes
        if now > before:
            self.stream_time.set(partition, now)
            if self.final:
                results += self._finished(partition, now - self.gap - self.grace)
            self._forget(partition, now)

    def _accumulate_one(self, partition: int, key: tuple[Any, ...], r: Record, closed: int) -> list[Record]:
        name = self.grouping.identity(key)
        sessions = (self.store.get(partition, name) or [key, []])[1]
        met = [s for s in sessions if s[1] >= r.time - self.gap and s[0] <= r.time + self.gap]
        start = min([r.time, *(s[0] for s in met)])
        end = max([r.time, *(s[1] for s in met)])
        if end < closed:
            self.runtime.row_error(
                "Aggregate", f"Skipping record for expired window [{start}, {end}]: key {key}", r.value, Skip.LATE
            )
            return []
        states = self.aggregator.initial()
        for session in met:
            states = self.aggregator.merge(states, session[FIRST_STATE:])
        withdrawn = [] if (start, end) == (r.time, r.time) else [self._withdrawn(key, s) for s in met]
        merged = [start, end, *states]
        self.aggregator.add(merged, r.value)  # type: ignore[arg-type]
        kept = [s for s in sessions if s not in met]
        kept.append(merged)
        kept.sort(key=lambda s: s[0])
        self.store.put(partition, name, [key, kept])
        row = self.aggregator.change(key, merged, start, end)
        emitted = [] if row is None else [Record(key, row, end, (start, end), r.headers)]
        return [*(w for w in withdrawn if w is not None), *emitted]

    def _withdrawn(self, key: tuple[Any, ...], session: list[Any]) -> Record | None:
        start, end = session[:FIRST_STATE]
        old = self.aggregator.change(key, session, start, end)
        return None if old is None else Record(key, None, end, (start, end), (), old)

    def _finished(self, partition: int, closed: int) -> list[Record]:
        """EMIT FINAL: the sessions that have closed since the last look, oldest first."""
        assert self.emitted is not None
        last = self.emitted.get(partition)
        self.emitted.set(partition, max(last, closed))
        done = [
            (s[1], key, s)
            for key, sessions in self.store.table(partition).values()
            for s in sessions
            if last <= s[1] < closed
        ]
        done.sort(key=lambda d: (d[0], d[2][0], self.grouping.bytes_of(d[1]) or b""))
        results = []
        for _, key, s in done:
            row = self.aggregator.change(key, s, s[0], s[1])
            if row is not None:
                results.append(Record(key, row, s[1], (s[0], s[1])))
        return results

    def _forget(self, partition: int, now: int) -> None:
        """Drop the sessions that are past their retention; swept once per gap, since it looks at every key."""
        if now - self._swept.get(partition, 0) < max(self.gap, 1000):
            return
        self._swept[partition] = now
        limit = now - self.retention
        for name, (key, sessions) in list(self.store.table(partition).items()):
            kept = [s for s in sessions if s[1] >= limit]
            if len(kept) < len(sessions):
                self.store.put(partition, name, [key, kept] if kept else None)
