"""The sparse index of a segment: one bisection each for lookups by offset and by time."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right

INTERVAL_BYTES = 8192


class SparseIndex:
    """An entry for the first batch at or after every `INTERVAL_BYTES` of a segment.

    Entry i is in three arrays of int64: the base offset of a batch, its position in the file, and the highest timestamp
    (ms) of all batches before it. Offsets and positions increase; timestamps do not decrease.
    """

    def __init__(self) -> None:
        self._offsets = array("q")
        self._positions = array("q")
        self._timestamps = array("q")
        self.next_position = 0
        """The next batch at or after this position gets an entry."""

    def __len__(self) -> int:
        return len(self._offsets)

    def add(self, base_offset: int, position: int, max_timestamp_before: int) -> None:
        """An entry for the batch at `position`."""
        self._offsets.append(base_offset)
        self._positions.append(position)
        self._timestamps.append(max_timestamp_before)
        self.next_position = position + INTERVAL_BYTES

    def position_for_offset(self, offset: int) -> int:
        """A batch boundary at or before the batch that has `offset`."""
        slot = bisect_right(self._offsets, offset) - 1
        return self._positions[slot] if slot >= 0 else 0

    def position_for_time(self, timestamp_ms: int) -> int:
        """A batch boundary before which every timestamp is earlier than `timestamp_ms`."""
        slot = bisect_left(self._timestamps, timestamp_ms) - 1
        return self._positions[slot] if slot >= 0 else 0

    def to_bytes(self) -> bytes:
        """The three arrays, one after the other, in the byte order of the machine."""
        return self._offsets.tobytes() + self._positions.tobytes() + self._timestamps.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> SparseIndex:
        """The inverse of `to_bytes`."""
        index = cls()
        size = len(data) // 3
        for number, entries in enumerate((index._offsets, index._positions, index._timestamps)):
            entries.frombytes(data[number * size : (number + 1) * size])
        if index._positions:
            index.next_position = index._positions[-1] + INTERVAL_BYTES
        return index
