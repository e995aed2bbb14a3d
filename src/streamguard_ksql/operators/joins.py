"""Joins: of streams within a window of time, of a stream with a table, and of tables.

Source: docs/developer-guide/joins/join-streams-and-tables.md of the ksqlDB manual; Kafka Streams' join semantics page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from streamguard_ksql.errors import ROW_ERRORS, reason
from streamguard_ksql.expressions.compiler import Compiler
from streamguard_ksql.expressions.scope import Scope
from streamguard_ksql.operators.aggregate import StreamTime
from streamguard_ksql.operators.base import Receive, Runtime, Skip
from streamguard_ksql.operators.buffers import RowBuffer, WaitingRows
from streamguard_ksql.operators.keys import identity, inner_key
from streamguard_ksql.operators.record import Record
from streamguard_ksql.operators.state import Store
from streamguard_ksql.plan import (
    DEFAULT_GRACE_MS,
    ForeignKeyJoinNode,
    Node,
    StreamStreamJoinNode,
    StreamTableJoinNode,
    TableTableJoinNode,
)

Row = Sequence[Any]


class Joiner:
    """Makes the row of a pair; a missing side is all NULL. A made-up key column, if the join has one, comes last."""

    def __init__(self, node: Node, left: Node, right: Node) -> None:
        self.left_nulls = [None] * len(left.schema.value)
        self.right_nulls = [None] * len(right.schema.value)
        self.with_key = len(node.schema.value) > len(self.left_nulls) + len(self.right_nulls)

    def __call__(self, key: tuple[Any, ...] | None, left: Row | None, right: Row | None) -> list[Any]:
        row = [*(self.left_nulls if left is None else left), *(self.right_nulls if right is None else right)]
        if self.with_key:
            row.append(None if key is None else key[0])
        return row


# --- stream with stream -----------------------------------------------------------------------------------------------


class StreamStreamJoin:
    """Each row waits for partners of the other side whose time is within the window.

    With a GRACE PERIOD a row of an outer side that found no partner is emitted, with NULLs, once its window has closed; one
    that comes when stream time has passed its window already at once, as Kafka Streams does, though grace may go on.
    Without GRACE PERIOD (the older semantics) every row is emitted at once, and with its partners when they come.
    """

    def __init__(self, node: StreamStreamJoinNode, runtime: Runtime, emit: Receive) -> None:
        self.join = Joiner(node, node.left, node.right)
        self.emit = emit
        self.runtime = runtime
        within = node.within
        self.before, self.after = within.before.ms, within.after.ms
        self.deferred = within.grace is not None
        self.grace = within.grace.ms if within.grace is not None else DEFAULT_GRACE_MS
        self.retention = self.before + self.after + self.grace
        numbered = runtime.stores.numbered
        self.buffers = (RowBuffer(numbered(Store("Join.left"))), RowBuffer(numbered(Store("Join.right"))))
        self.waiting = WaitingRows(numbered(Store("Join.waiting")))
        self.bytes_of = inner_key(node.schema.key)
        self.stream_time = StreamTime(runtime, "Join.time")
        self.side_times = (StreamTime(runtime, "Join.time.left"), StreamTime(runtime, "Join.time.right"))
        self.outer = (node.kind in ("LEFT", "OUTER"), node.kind in ("RIGHT", "OUTER"))

    def left(self, partition: int, records: list[Record]) -> None:
        self._receive(0, partition, records)

    def right(self, partition: int, records: list[Record]) -> None:
        self._receive(1, partition, records)

    def _receive(self, side: int, partition: int, records: list[Record]) -> None:
        results: list[Record] = []
        for r in records:
            if r.key is None:
                self.runtime.skipped[Skip.NULL_KEY] += 1
            elif r.value is not None:
                results += self._one(side, partition, r)
        if results:
            self.emit(partition, results)

    def _one(self, side: int, partition: int, r: Record) -> list[Record]:
        now = max(self.stream_time.get(partition), r.time)
        self.stream_time.set(partition, now)
        results = self._expired(side, partition, now) if self.deferred and r.time == now else []
        name = identity(r)
        own = max(self.side_times[side].get(partition), r.time)
        self.side_times[side].set(partition, own)
        number = 0
        if r.time > own - self.retention:
            number = self.buffers[side].add(partition, name, r.time, list(r.value or ()))
        else:
            self.runtime.skipped[Skip.LATE] += 1
        back, ahead = (self.before, self.after) if side == 0 else (self.after, self.before)
        # Each side forgets by its own stream time.
        oldest = self.side_times[1 - side].get(partition) - self.retention + 1
        partners = self.buffers[1 - side].between(partition, name, max(r.time - back, oldest), r.time + ahead)
        for time, row, other_number in partners:
            pair = (r.value, row) if side == 0 else (row, r.value)
            results.append(Record(r.key, self.join(r.key, *pair), max(time, r.time), r.window, r.headers))
            self.waiting.remove(partition, (1 - side, name, other_number, time))
        if not partners and self.outer[side]:
            if not self.deferred or r.time + ahead < now:
                results.append(self._alone(side, r.key, r.value, r.time, r.window))
            else:
                self.waiting.add(partition, (side, name, number, r.time), [r.key, list(r.value or ()), r.window])
        self.buffers[side].forget(partition, own - self.retention)
        return results

    def _alone(self, side: int, key: Any, row: Row | None, time: int, window: Any) -> Record:
        pair = (row, None) if side == 0 else (None, row)
        return Record(key, self.join(key, *pair), time, window)

    def _expired(self, side: int, partition: int, now: int) -> list[Record]:
        """The rows without a partner whose window has closed, in the order of Kafka Streams' store.

        That is by time, rows of the right before those of the left, by the bytes of the key. Where the window looks
        further to one side, the side of the record that moved stream time decides which have closed.
        """
        back, ahead = (self.before, self.after) if side == 0 else (self.after, self.before)
        oldest = self.waiting.oldest(partition)
        if oldest is None or oldest >= now - back - self.grace:
            return []
        due = [
            (time, -side, self.bytes_of(entry[0]) or b"", number, entry)
            for (side, _, number, time), entry in self.waiting.take_before(partition, now - ahead - self.grace)
        ]
        due.sort(key=lambda d: d[:4])
        return [
            self._alone(-minus_side, key, row, time, window and tuple(window))
            for time, minus_side, _, _, (key, row, window) in due
        ]


# --- stream with table ------------------------------------------------------------------------------------------------


class StreamTableJoin:
    """Each row of the stream meets the row that the table has for its key at that moment."""

    def __init__(self, node: StreamTableJoinNode, runtime: Runtime, emit: Receive) -> None:
        self.join = Joiner(node, node.left, node.right)
        self.emit = emit
        self.inner = node.kind == "INNER"
        self.skipped = runtime.skipped
        self.store = runtime.stores.numbered(Store("Join.table"))

    def left(self, partition: int, records: list[Record]) -> None:
        table = self.store.table(partition)
        results = []
        for r in records:
            if r.key is None:
                self.skipped[Skip.NULL_KEY] += 1
                continue
            if r.value is None:
                continue
            entry = table.get(identity(r))
            if entry is None and self.inner:
                continue
            row = self.join(r.key, r.value, None if entry is None else entry)
            results.append(Record(r.key, row, r.time, r.window, r.headers))
        if results:
            self.emit(partition, results)

    def right(self, partition: int, records: list[Record]) -> None:
        for r in records:
            self.store.put(partition, identity(r), None if r.value is None else list(r.value))


# --- table with table -------------------------------------------------------------------------------------------------


class TableTableJoin:
    """Keeps the join of two tables up to date as either changes."""

    def __init__(self, node: TableTableJoinNode, runtime: Runtime, emit: Receive) -> None:
        self.join = Joiner(node, node.left, node.right)
        self.emit = emit
        self.outer = (node.kind in ("LEFT", "OUTER"), node.kind in ("RIGHT", "OUTER"))
        self.stores = (runtime.stores.numbered(Store("Join.left")), runtime.stores.numbered(Store("Join.right")))

    def left(self, partition: int, records: list[Record]) -> None:
        self._receive(0, partition, records)

    def right(self, partition: int, records: list[Record]) -> None:
        self._receive(1, partition, records)

    def _receive(self, side: int, partition: int, records: list[Record]) -> None:
        results = []
        for r in records:
            if r.key is not None:
                change = self._one(side, partition, r)
                if change is not None:
                    results.append(change)
        if results:
            self.emit(partition, results)

    def _one(self, side: int, partition: int, r: Record) -> Record | None:
        name = identity(r)
        before = self.stores[side].get(partition, name)
        old = None if before is None else before[0]
        new = None if r.value is None else list(r.value)
        self.stores[side].put(partition, name, None if new is None else [new, r.time])
        partner = self.stores[1 - side].get(partition, name)
        if partner is None and not self.outer[side]:
            return None
        other = None if partner is None else partner[0]
        new_row, old_row = self._row(side, r.key, new, other), self._row(side, r.key, old, other)
        if partner is None and new_row is None and old_row is None:
            return None
        time = r.time if partner is None else max(r.time, partner[1])
        return Record(r.key, new_row, time, r.window, r.headers, old_row)

    def _row(self, side: int, key: Any, own: Row | None, other: Row | None) -> list[Any] | None:
        """The joined row of one side's row and the other's, None where the kind of join has none."""
        if own is None and (other is None or not self.outer[1 - side]):
            return None
        return self.join(key, own, other) if side == 0 else self.join(key, other, own)


class ForeignKeyJoin:
    """A table joined with another by an expression that gives the other's primary key.

    Kept: every left row with its foreign key, and for each foreign key the left rows that are subscribed to it. What is
    emitted follows Kafka Streams' protocol of subscriptions: a first row of an inner join only if there is a right row, a
    later one also as a tombstone; a row whose foreign key is NULL is left out, and the one after it is a first row again.
    """

    def __init__(self, node: ForeignKeyJoinNode, runtime: Runtime, emit: Receive) -> None:
        self.join = Joiner(node, node.left, node.right)
        self.emit = emit
        self.runtime = runtime
        self.is_left = node.kind == "LEFT"
        self.bytes_of = inner_key(node.left.schema.key)
        compiler = Compiler(Scope(node.left.schema.value, runtime.config))
        self.foreign_key: Callable[[Row], Any] = compiler.function(node.foreign_key, "foreign_key")
        self.left_rows = runtime.stores.numbered(Store("ForeignKeyJoin.left"))
        self.right_rows = runtime.stores.numbered(Store("ForeignKeyJoin.right"))
        self.subscribers = runtime.stores.numbered(Store("ForeignKeyJoin.subscribers"))

    def left(self, partition: int, records: list[Record]) -> None:
        results = [c for r in records if r.key is not None and (c := self._left_change(r)) is not None]
        if results:
            self.emit(partition, results)

    def _left_change(self, r: Record) -> Record | None:
        """Entries of left rows: [key, row, foreign key, time, whether it is subscribed]."""
        name = identity(r)
        before = self.left_rows.get(0, name)
        foreign = None if r.value is None else self._foreign(r.value)
        skipped = r.value is not None and foreign is None
        entry = None if r.value is None else [r.key, list(r.value), foreign, r.time, not skipped]
        self.left_rows.put(0, name, entry)
        if skipped:
            self.runtime.row_error("ForeignKeyJoin", "Skipping record due to null foreign key.", r.value, Skip.NULL_KEY)
            return None
        if before is None or before[2] is None:
            return None if entry is None else self._first(r, name, entry)
        old_row = self._row(before) if before[4] else None
        if entry is None:
            self._unsubscribe(before[2], name)
            return self._change(r, before[2], None, old_row)
        if foreign != before[2]:
            self._unsubscribe(before[2], name)
            self._subscribe(foreign, name)
        return self._change(r, foreign, self._row(entry), old_row)

    def _first(self, r: Record, name: Any, entry: list[Any]) -> Record | None:
        self._subscribe(entry[2], name)
        row = self._row(entry)
        return None if row is None else self._change(r, entry[2], row, None)

    def _change(self, r: Record, foreign: Any, row: list[Any] | None, old_row: list[Any] | None) -> Record:
        right = self.right_rows.get(0, foreign)
        time = r.time if right is None else max(r.time, right[1])
        return Record(r.key, row, time, None, r.headers, old_row)

    def right(self, partition: int, records: list[Record]) -> None:
        for r in records:
            if r.key is None:
                continue
            foreign = r.key[0] if _hashable(r.key[0]) else repr(r.key[0])
            before = self.right_rows.get(0, foreign)
            new = None if r.value is None else list(r.value)
            self.right_rows.put(0, foreign, None if new is None else [new, r.time])
            results = []
            for key, row, _, time, _ in self._subscribed(foreign):
                old_row = self._pair(key, row, None if before is None else before[0])
                results.append(Record(key, self._pair(key, row, new), max(r.time, time), None, r.headers, old_row))
            if results:
                self.emit(partition, results)

    def _foreign(self, row: Row) -> Any:
        try:
            value = self.foreign_key(row)
        except ROW_ERRORS as error:
            self.runtime.row_error("ForeignKeyJoin", reason(error), row)
            return None
        return value if _hashable(value) else repr(value)

    def _row(self, entry: list[Any]) -> list[Any] | None:
        right = self.right_rows.get(0, entry[2])
        return self._pair(entry[0], entry[1], None if right is None else right[0])

    def _pair(self, key: Any, left: Row, right: Row | None) -> list[Any] | None:
        if right is None and not self.is_left:
            return None
        return self.join(key, left, right)

    def _subscribed(self, foreign: Any) -> list[list[Any]]:
        """The left rows that point to a foreign key, by the bytes of their keys."""
        found = [self.left_rows.get(0, name) for name in self.subscribers.get(0, foreign) or ()]
        rows = [entry for entry in found if entry is not None and entry[4] and entry[2] == foreign]
        return sorted(rows, key=lambda entry: self.bytes_of(entry[0]) or b"")

    def _subscribe(self, foreign: Any, name: Any) -> None:
        names = self.subscribers.get(0, foreign) or []
        if name not in names:
            self.subscribers.put(0, foreign, [*names, name])

    def _unsubscribe(self, foreign: Any, name: Any) -> None:
        names = [n for n in self.subscribers.get(0, foreign) or [] if n != name]
        self.subscribers.put(0, foreign, names or None)


def _hashable(value: Any) -> bool:
    return not isinstance(value, (list, dict))
