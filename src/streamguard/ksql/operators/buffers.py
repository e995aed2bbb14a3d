"""Rows kept in the order of time: those of a stream that wait for partners, and those that found none yet.

What is kept lives in stores, row by row, so that a commit writes only what changed. The order of time is an index beside
them, in memory alone: it is made from the store when a partition is first touched, which is also after a restart.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any

from streamguard.ksql.operators.state import Store

Row = Sequence[Any]


class RowBuffer:
    """The rows of one side of a stream-stream join. The store: (name, time, number), to the row.

    `name` identifies the key; `number` tells rows of one name and instant apart, in the order of their arrival.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._by_name: dict[int, dict[Any, list[tuple[int, int]]]] = {}
        self._by_time: dict[int, list[tuple[int, int, Any]]] = {}
        self._ties = count()

    def add(self, partition: int, name: Any, time: int, row: list[Any]) -> int:
        """Keep a row; its number."""
        times = self._index(partition).setdefault(name, [])
        after = bisect_left(times, (time + 1, -1))
        number = times[after - 1][1] + 1 if after and times[after - 1][0] == time else 0
        insort(times, (time, number))
        heappush(self._by_time[partition], (time, next(self._ties), name))
        self.store.put(partition, (name, time, number), row)
        return number

    def between(self, partition: int, name: Any, earliest: int, latest: int) -> list[tuple[int, Row, int]]:
        """The rows of a name within a span of time, both ends included, as (time, row, number) in that order."""
        times = self._index(partition).get(name)
        if not times:
            return []
        table = self.store.table(partition)
        span = times[bisect_left(times, (earliest, -1)) : bisect_left(times, (latest + 1, -1))]
        return [(time, table[name, time, number], number) for time, number in span]

    def forget(self, partition: int, limit: int) -> None:
        """Drop the rows of `limit` and before."""
        names = self._index(partition)
        oldest = self._by_time[partition]
        while oldest and oldest[0][0] <= limit:
            _, _, name = heappop(oldest)
            times = names[name]
            time, number = times.pop(0)
            self.store.put(partition, (name, time, number), None)
            if not times:
                del names[name]

    def _index(self, partition: int) -> dict[Any, list[tuple[int, int]]]:
        names = self._by_name.get(partition)
        if names is None:
            names = self._by_name[partition] = {}
            oldest = self._by_time[partition] = []
            for name, time, number in self.store.table(partition):
                names.setdefault(name, []).append((time, number))
                oldest.append((time, next(self._ties), name))
            for times in names.values():
                times.sort()
            heapify(oldest)
        return names


class Deadlines:
    """Entries of a store that fall due: told once stream time has passed their deadline, unless they are gone by then."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._due: dict[int, list[tuple[int, int, Any]]] = {}
        self._ties = count()

    def add(self, partition: int, key: Any, deadline: int, entry: list[Any]) -> None:
        """Keep an entry until its deadline; the deadline is put in front of it."""
        self.store.put(partition, key, [deadline, *entry])
        heappush(self._heap(partition), (deadline, next(self._ties), key))

    def remove(self, partition: int, key: Any) -> None:
        if key in self.store.table(partition):
            self.store.put(partition, key, None)

    def due(self, partition: int, now: int) -> list[tuple[Any, list[Any]]]:
        """Take out the entries whose deadline is before `now`, as (key, entry)."""
        heap = self._heap(partition)
        found = []
        while heap and heap[0][0] < now:
            deadline, _, key = heappop(heap)
            kept = self.store.get(partition, key)
            if kept is not None and kept[0] == deadline:
                found.append((key, kept[1:]))
                self.store.put(partition, key, None)
        return found

    def _heap(self, partition: int) -> list[tuple[int, int, Any]]:
        heap = self._due.get(partition)
        if heap is None:
            heap = [(entry[0], next(self._ties), key) for key, entry in self.store.table(partition).items()]
            heapify(heap)
            self._due[partition] = heap
        return heap
