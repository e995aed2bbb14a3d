"""What flows between operators."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

Headers = Sequence[tuple[str, bytes | None]]
Window = tuple[int, int]
"""Start and end of a window, milliseconds; a session's end is its last event's time."""


class Record(msgspec.Struct, eq=False, gc=False, repr_omit_defaults=True):
    """A row on its way: an event of a stream, or a change of a table.

    key: tuple of the key columns, or None where the record has no key.
    value: the value columns in the order of the operator's schema; None is a null value (a tombstone of a table).
    old: for changes of a table, the value before, None if there was none.

    A struct, since many are made of each record of a topic: made in C, and nothing for the collector to look at.
    """

    key: tuple[Any, ...] | None
    value: Sequence[Any] | None
    time: int
    window: Window | None = None
    headers: Headers = ()
    old: Sequence[Any] | None = None

    def with_value(self, value: Sequence[Any] | None, old: Sequence[Any] | None = None) -> Record:
        return Record(self.key, value, self.time, self.window, self.headers, old)


class InputRecord(NamedTuple):
    """A record of a topic, as bytes; time in milliseconds."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    time: int
    headers: Headers = ()


class Batch(list[InputRecord]):
    """Records of one partition of a topic, in order, and what they say: read once for all queries that read them alike."""

    __slots__ = ("_lock", "_partitions", "_readings", "_value_bytes")

    def __init__(self, records: Sequence[InputRecord] = ()) -> None:
        super().__init__(records)
        self._lock = threading.RLock()
        self._readings: dict[object, Any] = {}
        self._partitions: dict[int, Batch] | None = None
        self._value_bytes: int | None = None

    def reading(self, kind: object, read: Callable[[Batch], Any]) -> Any:
        """What `read` makes of the records; of the calls with one `kind` only the first calls it.

        It may be given more records than these, those that they are a part of; it may ask what it is given for readings.
        """
        with self._lock:
            found = self._readings.get(kind)
            if found is None:
                found = self._readings[kind] = read(self)
        return found

    def value_bytes(self) -> int:
        """How many bytes the values have."""
        if self._value_bytes is None:
            self._value_bytes = sum([len(r[4]) for r in self if r[4] is not None])  # r[4]: its value
        return self._value_bytes

    def know(self, kind: object, reading: Sequence[Any]) -> None:
        """What `reading` of that kind gives, where it is known without reading."""
        self._readings[kind] = reading

    def part(self, start: int, stop: int) -> Batch:
        """The records from `start` to before `stop`; what is read of them is read of all at once."""
        return self if stop - start == len(self) else _Part(self, range(start, stop))

    def by_partition(self) -> dict[int, Batch]:
        """The records of each partition, for a batch that has several; what is read of one is read of all at once."""
        if self._partitions is None:
            self._partitions = self._divided()
        return self._partitions

    def _divided(self) -> dict[int, Batch]:
        positions: dict[int, list[int]] = {}
        for i, record in enumerate(self):
            positions.setdefault(record[1], []).append(i)
        if len(positions) == 1:
            return dict.fromkeys(positions, self)
        return {p: _Part(self, found) for p, found in sorted(positions.items())}


class _Part(Batch):
    """The records of a batch at some positions, in order."""

    __slots__ = ("_positions", "_whole")

    def __init__(self, whole: Batch, positions: Sequence[int]) -> None:
        super().__init__([whole[i] for i in positions])
        self._whole = whole
        self._positions = positions

    def reading(self, kind: object, read: Callable[[Batch], Any]) -> Any:
        found = self._readings.get(kind)
        if found is None:
            whole = self._whole.reading(kind, read)
            found = self._readings[kind] = [whole[i] for i in self._positions]
        return found

    def part(self, start: int, stop: int) -> Batch:
        # Records that were handed over have no bytes: what is known of them, the whole batch knows.
        return self if stop - start == len(self) else _Part(self._whole, self._positions[start:stop])


class Merged(Batch):
    """The records of several batches in an order given by positions in all of them together."""

    __slots__ = ("_order", "_parts")

    def __init__(self, parts: Sequence[Batch], order: Sequence[int]) -> None:
        together = [record for part in parts for record in part]
        super().__init__([together[i] for i in order])
        self._parts = parts
        self._order = order

    def reading(self, kind: object, read: Callable[[Batch], Any]) -> Any:
        found = self._readings.get(kind)
        if found is None:
            together = [one for part in self._parts for one in part.reading(kind, read)]
            found = self._readings[kind] = [together[i] for i in self._order]
        return found


class OutputRecord(NamedTuple):
    """A record for a topic, as bytes; the partition is found from the key."""

    topic: str
    key: bytes | None
    value: bytes | None
    time: int
    headers: Headers = ()
