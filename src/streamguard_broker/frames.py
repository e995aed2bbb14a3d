"""Frames from the bytes of one connection, without I/O: a size (int32), then as many bytes.

Small frames are views of one receive buffer. A frame that does not fit there gets a buffer of its own, once the memory
budget admits it, which grows with the bytes that arrive, not with the size that the client announces.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from streamguard_broker.budget import MemoryBudget
from streamguard_broker.errors import RequestError

RECEIVE_BYTES = 64 * 1024
_GROW_BYTES = 1024 * 1024
_MIN_FRAME_BYTES = 8  # key, version, correlation id


class FrameReader:
    """Use in turn: write received bytes to `get_buffer()`, call `received`, take frames with `next_frame`.

    waiting  the budget has not admitted the next frame; nothing more should be received
    partial  part of a large frame has been received
    """

    def __init__(self, budget: MemoryBudget, on_admission: Callable[[], None]) -> None:
        """`on_admission` is called when a waiting frame should be tried again."""
        self._budget = budget
        self._on_admission = on_admission
        self._buffer = bytearray(RECEIVE_BYTES)
        self._start = 0
        self._end = 0
        self._large: bytearray | None = None
        self._large_size = 0
        self._admitted = 0
        self.waiting = False

    @property
    def partial(self) -> bool:
        return self._large is not None

    def get_buffer(self) -> memoryview:
        """Where the next bytes go; never empty."""
        if self._large is not None:
            if self._end == len(self._large):
                self._large.extend(bytes(min(self._large_size - self._end, max(_GROW_BYTES, self._end))))
            return memoryview(self._large)[self._end :]
        if self._end == len(self._buffer):
            self._compact()
        return memoryview(self._buffer)[self._end :]

    def received(self, count: int) -> None:
        """`count` bytes have been written to the buffer."""
        self._end += count

    def next_frame(self, max_bytes: int) -> memoryview | None:
        """The next complete frame without its size, or None. Raises RequestError for an impossible size."""
        if self._large is not None:
            return self._finish_large() if self._end >= self._large_size else None
        received = self._end - self._start
        if received < 4:
            return None
        size = struct.unpack_from(">i", self._buffer, self._start)[0]
        if not _MIN_FRAME_BYTES <= size <= max_bytes:
            raise RequestError(f"a frame of {size} bytes ({_MIN_FRAME_BYTES} to {max_bytes} are allowed)")
        if received >= size + 4:
            begin = self._start + 4
            self._start = begin + size
            return memoryview(self._buffer)[begin : begin + size]
        if size + 4 > len(self._buffer):
            self._admit(size)
        elif self._start + size + 4 > len(self._buffer):
            self._compact()
        return None

    def close(self) -> None:
        """Release what the budget has admitted."""
        self._large = None
        self._budget.release(self.take_admission())

    def _compact(self) -> None:
        """Make room: in a new buffer, because handlers may still have views of the old one."""
        rest = memoryview(self._buffer)[self._start : self._end]
        self._buffer = bytearray(RECEIVE_BYTES)
        self._buffer[: len(rest)] = rest
        self._start, self._end = 0, len(rest)

    def _admit(self, size: int) -> None:
        if not self._budget.admit(size, self._retry):
            self.waiting = True
            return
        self._admitted = size
        rest = memoryview(self._buffer)[self._start + 4 : self._end]
        self._large = bytearray(min(size, max(_GROW_BYTES, 2 * len(rest))))
        self._large[: len(rest)] = rest
        self._large_size = size
        self._buffer = bytearray(RECEIVE_BYTES)
        self._start, self._end = 0, len(rest)

    def _retry(self) -> None:
        self.waiting = False
        self._on_admission()

    def _finish_large(self) -> memoryview:
        assert self._large is not None
        view = memoryview(self._large)
        self._large = None
        self._start = self._end = 0
        return view

    def take_admission(self) -> int:
        """How many bytes the budget admitted for the frame just taken; they are the caller's to release."""
        size, self._admitted = self._admitted, 0
        return size
