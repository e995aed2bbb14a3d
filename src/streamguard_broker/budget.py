"""The memory limit of requests that are not yet answered and of responses that clients have not read.

A large request is admitted with its full size before its bytes are read; one that does not fit stays unread. Responses
in send buffers make later fetch responses smaller, down to a floor that lets every client progress.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

FETCH_FLOOR_BYTES = 64 * 1024


class MemoryBudget:
    """Bytes of admitted requests and of responses in send buffers. Single-threaded."""

    def __init__(self, request_limit: int, response_limit: int) -> None:
        self._request_limit = request_limit
        self._response_limit = response_limit
        self._waiting: deque[Callable[[], None]] = deque()
        self.request_bytes = 0
        self.response_bytes = 0

    def admit(self, size: int, retry: Callable[[], None]) -> bool:
        """Admit `size` if it fits or nothing else is admitted; else call `retry` when something is released."""
        if self.request_bytes and self.request_bytes + size > self._request_limit:
            self._waiting.append(retry)
            return False
        self.request_bytes += size
        return True

    def release(self, size: int) -> None:
        """Release what was admitted, and call those that wait."""
        if not size:
            return
        self.request_bytes -= size
        waiting, self._waiting = self._waiting, deque()
        for retry in waiting:
            retry()

    def add_backlog(self, change: int) -> None:
        """The responses in send buffers have grown or shrunk by `change` bytes."""
        self.response_bytes += change

    def fetch_bytes(self, wanted: int) -> int:
        """How many bytes a fetch response may have now."""
        return min(wanted, max(FETCH_FLOOR_BYTES, self._response_limit - self.response_bytes))
