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

from streamguard_ksql.operators.state import Store

Row = Sequence[Any]


class RowBuffer:
    """The rows of one side of a stream-stream join. The store: (name, time, number), to the row.

    `name` identifies the key; `number` distinguishes rows of one name and instant, in the order of their arrival.
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


class WaitingRows:
    """Rows that found no partner yet, by their time. The store: a key that ends in the time, to the entry."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._by_time: dict[int, list[tuple[int, int, Any]]] = {}
        self._ties = count()

    def add(self, partition: int, key: tuple[Any, ...], entry: list[Any]) -> None:
        self.store.put(partition, key, entry)
        heappush(self._heap(partition), (key[-1], next(self._ties), key))

    def remove(self, partition: int, key: tuple[Any, ...]) -> None:
        if key in self.store.table(partition):
            self.store.put(partition, key, None)

    def oldest(self, partition: int) -> int | None:
        """The time of the oldest row, None if there is none."""
        heap = self._heap(partition)
        table = self.store.table(partition)
        while heap and heap[0][2] not in table:
            heappop(heap)
        return heap[0][0] if heap else None

    def take_before(self, partition: int, limit: int) -> list[tuple[tuple[Any, ...], list[Any]]]:
        """Take out the rows of a time before `limit`, as (key, entry)."""
        found = []
        while (oldest := self.oldest(partition)) is not None and oldest < limit:
            key = heappop(self._heap(partition))[2]
            found.append((key, self.store.get(partition, key)))
            self.store.put(partition, key, None)
        return found

    def _heap(self, partition: int) -> list[tuple[int, int, Any]]:
        heap = self._by_time.get(partition)
        if heap is None:
            heap = [(key[-1], next(self._ties), key) for key in self.store.table(partition)]
            heapify(heap)
            self._by_time[partition] = heap
        return heap
