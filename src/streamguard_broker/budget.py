"""How much memory requests under way and answers not yet taken may hold, over all connections.

A large frame is admitted with its full size before its bytes are read; who does not fit waits unread. What slow readers
have not taken makes later fetch answers smaller, down to a floor that lets everybody get on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

FETCH_FLOOR_BYTES = 64 * 1024


class MemoryBudget:
    """Bytes admitted inward and owed outward. Single-threaded."""

    def __init__(self, inward_limit: int, outward_limit: int) -> None:
        self._inward_limit = inward_limit
        self._outward_limit = outward_limit
        self._waiting: deque[Callable[[], None]] = deque()
        self.inward = 0
        self.outward = 0

    def admit(self, size: int, retry: Callable[[], None]) -> bool:
        """Take `size` if it fits or nothing else is held; else remember to call `retry` when something is released."""
        if self.inward and self.inward + size > self._inward_limit:
            self._waiting.append(retry)
            return False
        self.inward += size
        return True

    def release(self, size: int) -> None:
        """Give back what was admitted, and let the waiting try again."""
        self.inward -= size
        waiting, self._waiting = self._waiting, deque()
        for retry in waiting:
            retry()

    def owe(self, change: int) -> None:
        """The answers that wait in send buffers have grown or shrunk by this much."""
        self.outward += change

    def fetch_bytes(self, wanted: int) -> int:
        """How much a fetch may answer with now."""
        return min(wanted, max(FETCH_FLOOR_BYTES, self._outward_limit - self.outward))
