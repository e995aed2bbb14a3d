"""GROUP BY: folds over all rows of a group, over its time windows, or over its sessions.

Time is that of the events, never the clock's. Each partition has its own stream time, the greatest time seen in it; a
window is closed once stream time has passed its end and its grace, and what comes later for it is left out and counted.

Source: docs/concepts/time-and-windows-in-ksqldb-queries.md; Kafka Streams' documentation of windowing and grace.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamguard.ksql import ast
from streamguard.ksql.operators.base import Operator, Receive, Runtime
from streamguard.ksql.operators.folding import Folder, Grouping
from streamguard.ksql.operators.record import Record
from streamguard.ksql.operators.state import Store, WindowStore
from streamguard.ksql.plan import AggregateNode

DEFAULT_GRACE_MS = 24 * 3_600_000
"""Without GRACE PERIOD a window accepts late rows until a day after its start, as Kafka Streams always did."""

PartitionOf = Callable[[int, tuple[Any, ...]], int]
"""The partition of a group: that of its rows, or another where GROUP BY changes the key."""


class Aggregation(Operator):
    """The base of all aggregations over streams. Entries of the store are [states, time]."""

    def __init__(self, node: AggregateNode, runtime: Runtime, emit: Receive, partition_of: PartitionOf, with_old: bool) -> None:
        super().__init__(emit)
        self.runtime = runtime
        self.folder = Folder(node, runtime)
        self.grouping = Grouping(node, runtime)
        self.partition_of = partition_of
        self.with_old = with_old

    def receive(self, partition: int, records: list[Record]) -> None:
        batches: dict[int, list[tuple[tuple[Any, ...], Record]]] = {}
        for r in records:
            key = self.grouping.key(r.value)
            if key is not None:
                batches.setdefault(self.partition_of(partition, key), []).append((key, r))
        for target, batch in batches.items():
            results = self.fold(target, batch)
            if results:
                self.emit(target, results)

    def fold(self, partition: int, batch: list[tuple[tuple[Any, ...], Record]]) -> list[Record]:
        """Fold the rows of a partition, in order; the changes of the table that came of it."""
        raise TypeError(f"{type(self).__name__} does not fold")


class GroupAggregation(Aggregation):
    """Over all rows of a group."""

    def __init__(self, node: AggregateNode, runtime: Runtime, emit: Receive, partition_of: PartitionOf, with_old: bool) -> None:
        super().__init__(node, runtime, emit, partition_of, with_old)
        self.store = runtime.stores.add(Store("Aggregate"))

    def fold(self, partition: int, batch: list[tuple[tuple[Any, ...], Record]]) -> list[Record]:
        folder, identity = self.folder, self.grouping.identity
        table, dirty = self.store.table(partition), self.store.dirty(partition)
        results = []
        for key, r in batch:
            name = identity(key)
            entry = table.get(name)
            old = None
            if entry is None:
                entry = table[name] = [folder.initial(), r.time, key]
            elif self.with_old:
                old = folder.row(key, entry[0])
            folder.add(entry[0], r.value)  # type: ignore[arg-type]
            entry[1] = max(entry[1], r.time)
            dirty.add(name)
            results.append(Record(key, folder.row(key, entry[0]), entry[1], None, r.headers, old))
        return results


class TableAggregation(Operator):
    """Over the rows of a table: a change takes the old row out of its group and puts the new one into its own."""

    def __init__(self, node: AggregateNode, runtime: Runtime, emit: Receive, partition_of: PartitionOf) -> None:
        super().__init__(emit)
        self.folder = Folder(node, runtime)
        self.grouping = Grouping(node, runtime)
        self.partition_of = partition_of
        self.store = runtime.stores.add(Store("Aggregate"))

    def receive(self, partition: int, records: list[Record]) -> None:
        assert self.folder.undo is not None
        for r in records:
            for row, fold in ((r.old, self.folder.undo), (r.value, self.folder.add)):
                key = self.grouping.key(row)
                if key is not None:
                    target = self.partition_of(partition, key)
                    self.emit(target, [self._change(target, key, row, r, fold)])

    def _change(
        self, partition: int, key: tuple[Any, ...], row: Any, r: Record, fold: Callable[[list[Any], Any], None]
    ) -> Record:
        name = self.grouping.identity(key)
        entry = self.store.get(partition, name)
        old = None if entry is None else self.folder.row(key, entry[0])
        if entry is None:
            entry = [self.folder.initial(), r.time, key]
        fold(entry[0], row)
        entry[1] = max(entry[1], r.time)
        self.store.put(partition, name, entry)
        return Record(key, self.folder.row(key, entry[0]), entry[1], None, r.headers, old)


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
    """Over tumbling or hopping windows."""

    def __init__(self, node: AggregateNode, runtime: Runtime, emit: Receive, partition_of: PartitionOf, with_old: bool) -> None:
        super().__init__(node, runtime, emit, partition_of, with_old)
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

    def fold(self, partition: int, batch: list[tuple[tuple[Any, ...], Record]]) -> list[Record]:
        table, dirty = self.store.table(partition), self.store.dirty(partition)
        folder, identity, size, advance = self.folder, self.grouping.identity, self.size, self.advance
        before = now = self.stream_time.get(partition)
        results: list[Record] = []
        for key, r in batch:
            time = r.time
            now = max(now, time)
            closed = now - self.grace
            name = identity(key)
            for start in range(max(0, time - time % advance - size + advance), time + 1, advance):
                if start + size <= closed:
                    self._late(key, r, start)
                    continue
                windows = table.get(start)
                if windows is None:
                    windows = table[start] = {}
                entry = windows.get(name)
                old = None
                if entry is None:
                    entry = windows[name] = [folder.initial(), time, key]
                elif self.with_old and not self.final:
                    old = folder.row(key, entry[0], start, start + size)
                folder.add(entry[0], r.value)  # type: ignore[arg-type]
                entry[1] = max(entry[1], time)
                dirty.add((start, name))
                if not self.final:
                    row = folder.row(key, entry[0], start, start + size)
                    results.append(Record(key, row, entry[1], (start, start + size), r.headers, old))
        if now > before:
            self.stream_time.set(partition, now)
            if self.final:
                results = self._finished(partition, now - self.grace)
            self.store.drop_before(partition, now - self.retention)
        return results

    def _late(self, key: tuple[Any, ...], record: Record, start: int) -> None:
        self.runtime.row_error(
            "Aggregate", f"Skipping record for expired window [{start}, {start + self.size}): key {key}", record.value
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
                # Kafka Streams' store has let go of it by now: the cluster would not tell this window either.
                self.runtime.row_error("Aggregate", f"Window {start} expired before its final result was told", len(table[start]))
                continue
            bounds = (start, start + self.size)
            for entry in sorted(table[start].values(), key=lambda e: repr(e[2])):
                results.append(Record(entry[2], self.folder.row(entry[2], entry[0], *bounds), entry[1], bounds))
        return results


class SessionAggregation(Aggregation):
    """Over sessions: runs of rows of a group no further apart than the gap. Entries: key, to its list of sessions.

    A session is [start, end, states]; one that grows is first withdrawn (a tombstone) and then told anew.
    """

    def __init__(self, node: AggregateNode, runtime: Runtime, emit: Receive, partition_of: PartitionOf, with_old: bool) -> None:
        super().__init__(node, runtime, emit, partition_of, with_old)
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

    def fold(self, partition: int, batch: list[tuple[tuple[Any, ...], Record]]) -> list[Record]:
        before = now = self.stream_time.get(partition)
        results: list[Record] = []
        for key, r in batch:
            now = max(now, r.time)
            changes = self._fold_one(partition, key, r, now - self.grace)
            if not self.final:
                results += changes
        if now > before:
            self.stream_time.set(partition, now)
            if self.final:
                results = self._finished(partition, now - self.grace)
            self._forget(partition, now)
        return results

    def _fold_one(self, partition: int, key: tuple[Any, ...], r: Record, closed: int) -> list[Record]:
        name = self.grouping.identity(key)
        sessions = (self.store.get(partition, name) or [key, []])[1]
        met = [s for s in sessions if s[1] >= r.time - self.gap and s[0] <= r.time + self.gap]
        start = min([r.time, *(s[0] for s in met)])
        end = max([r.time, *(s[1] for s in met)])
        if end < closed:
            self.runtime.row_error("Aggregate", f"Skipping record for expired window [{start}, {end}]: key {key}", r.value)
            return []
        states = self.folder.initial()
        for session in met:
            states = self.folder.merge(states, session[2])
        withdrawn = [] if (start, end) == (r.time, r.time) else [self._withdrawn(key, s) for s in met]
        self.folder.add(states, r.value)  # type: ignore[arg-type]
        kept = [s for s in sessions if s not in met]
        kept.append([start, end, states])
        kept.sort(key=lambda s: s[0])
        self.store.put(partition, name, [key, kept])
        row = self.folder.row(key, states, start, end)
        return [*withdrawn, Record(key, row, end, (start, end), r.headers)]

    def _withdrawn(self, key: tuple[Any, ...], session: list[Any]) -> Record:
        start, end, states = session
        old = self.folder.row(key, states, start, end) if self.with_old else None
        return Record(key, None, end, (start, end), (), old)

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
        done.sort(key=lambda d: (d[0], repr(d[1])))
        return [
            Record(key, self.folder.row(key, s[2], s[0], s[1]), s[1], (s[0], s[1])) for _, key, s in done
        ]

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


def grace_ms(window: ast.Window) -> int:
    """How long after its end a window takes late rows."""
    if window.grace is not None:
        return window.grace.ms
    return max(0, DEFAULT_GRACE_MS - window.size.ms)
