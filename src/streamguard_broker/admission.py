"""Which connections are open, and which one goes when there are too many.

Three limits: connections in all, connections of one address, and open files, of which some are reserved for segments. A
connection that reaches a limit takes the place of the oldest silent one; where none is silent it is rejected. Silent is
who has not yet sent a valid request or, where authentication is required, has not completed it. Near a limit, silent
connections are closed once they are older than `silent_timeout_ms`, oldest first. No I/O: sockets are the caller's.
"""

from __future__ import annotations

import logging
import os
import resource
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from streamguard_broker.catalog import MAX_PARTITIONS
from streamguard_broker.clock import Clock
from streamguard_broker.options import BrokerOptions

log = logging.getLogger(__name__)

_NEAR = 0.8
_SUMMARY_MS = 60_000


class Connected(Protocol):
    """A connection, as far as admission needs it."""

    host: str
    opened_ms: int

    @property
    def silent(self) -> bool: ...

    def abort(self) -> None: ...


C = TypeVar("C", bound=Connected)


def open_file_limit() -> int:
    """How many files this process may have open (`ulimit -n`)."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def open_files() -> int:
    """How many files this process has open; counting takes one more."""
    try:
        return len(os.listdir("/dev/fd")) - 1
    except OSError:
        return open_file_limit()


class Admission(Generic[C]):
    """The open connections, oldest first, and the counts of those that had to go.

    rejected       by the name of the limit
    closed_silent  silent ones that made room
    """

    def __init__(
        self,
        options: BrokerOptions,
        clock: Clock,
        file_limit: Callable[[], int] = open_file_limit,
        files: Callable[[], int] = open_files,
    ) -> None:
        self._options = options
        self._clock = clock
        self._file_limit = file_limit
        self._files = files
        self._open: dict[C, None] = {}
        self._by_address: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.closed_silent = 0
        self._logged: dict[tuple[str, bool], int] = {}

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[C]:
        return iter(list(self._open))

    def admit(self, connection: C) -> bool:
        """Add it, in the place of a silent one if need be; False if it must be closed instead."""
        limit = self._limit_reached(connection)
        if limit is not None:
            host = connection.host if limit == "max.connections.per.ip" else None
            if not self.close_oldest_silent(limit, host):
                self.rejected[limit] += 1
                self.report(limit, f"{connection.host} was rejected", rejected=True)
                return False
        self._open[connection] = None
        self._by_address[connection.host] += 1
        return True

    def remove(self, connection: C) -> None:
        """It is closed; nothing if it is not known."""
        if connection in self._open:
            del self._open[connection]
            self._by_address[connection.host] -= 1
            if not self._by_address[connection.host]:
                del self._by_address[connection.host]

    def close_oldest_silent(self, limit: str, host: str | None = None) -> bool:
        """Make room at `limit`, among those of `host` if it is given; False if none is silent."""
        silent = (c for c in self._open if c.silent and host in (None, c.host))
        oldest = next(silent, None)
        if oldest is None:
            return False
        self._close(oldest, limit)
        return True

    def close_silent(self) -> None:
        """Near a limit: close those that have been silent for too long. Call it every second."""
        before_ms = self._clock.monotonic_ms() - self._options.silent_timeout_ms
        near_files = self._file_share() >= _NEAR
        for connection in self:
            if not near_files and len(self._open) < _NEAR * self._options.max_connections:
                return
            if connection.silent and connection.opened_ms <= before_ms:
                self._close(connection, "open files" if near_files else "max.connections")

    def _close(self, connection: C, limit: str) -> None:
        self.remove(connection)
        self.closed_silent += 1
        self.report(limit, f"closed {connection.host}, which has not sent a valid request")
        connection.abort()

    def _limit_reached(self, connection: C) -> str | None:
        if self._by_address[connection.host] >= self._options.max_connections_per_ip:
            return "max.connections.per.ip"
        if len(self._open) >= self._options.max_connections:
            return "max.connections"
        return "open files" if self._file_share() > 1 else None

    def _file_share(self) -> float:
        """Which part of the files that connections may take is open; counted only where the limit is near enough."""
        limit = self._file_limit()
        if limit >= self._options.max_connections + MAX_PARTITIONS + self._options.reserved_files:
            return 0
        return self._files() / (limit - min(self._options.reserved_files, limit // 2))

    def report(self, limit: str, event: str, *, rejected: bool = False) -> None:
        """The first event of a kind at a limit, and then one a minute: whoever fills it must not fill the disk with lines."""
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._logged.get((limit, rejected), -_SUMMARY_MS) < _SUMMARY_MS:
            return
        self._logged[limit, rejected] = now_ms
        values = {
            "max.connections": f"--max-connections={self._options.max_connections}",
            "max.connections.per.ip": f"--max-connections-per-ip={self._options.max_connections_per_ip}",
            "open files": f"{self._file_limit()} files (ulimit -n), --reserved-files={self._options.reserved_files}",
        }
        log.warning(
            "at the limit of connections (%s): %s; %d are open, since the start %d were rejected and %d closed",
            *(values[limit], event, len(self._open), self.rejected.total(), self.closed_silent),
        )
