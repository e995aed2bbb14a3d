"""The state of the server itself: open queries and their threads, the fate of commands, and whether it was terminated."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from streamguard_ksql.runtime.api import Runtime
from streamguard_ksql.server.errors import TOO_MANY_QUERIES, RestError

T = TypeVar("T")
MAX_PUSH_QUERIES = "ksql.max.push.queries"
DEFAULT_MAX_PUSH_QUERIES = 100
STATEMENT_THREADS = 16
REMEMBERED_COMMANDS = 10_000


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class Closeable(Protocol):
    def close(self) -> None: ...


@dataclass(frozen=True)
class OpenQuery:
    """A push query or PRINT that a client is reading."""

    query_id: str
    text: str
    stream: Closeable
    owner: str | None = None
    """The user who reads it, where there are logins."""


@dataclass
class Server:
    """The state that the endpoints share. `host` is HOST:PORT, as the entities name it."""

    runtime: Runtime
    host: str = "127.0.0.1:8088"
    clock_ms: Callable[[], int] = wall_clock_ms
    terminated: bool = False
    last_sequence_number: int | None = None
    statuses: OrderedDict[str, dict[str, Any]] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        configured = self.runtime.config_value(MAX_PUSH_QUERIES)
        self.max_push_queries = DEFAULT_MAX_PUSH_QUERIES if configured is None else int(configured)
        self._open: dict[str, OpenQuery] = {}
        self._starting = 0
        self._lock = threading.Lock()
        self._statement_threads = ThreadPoolExecutor(STATEMENT_THREADS, "ksql-statement")
        self._row_threads = ThreadPoolExecutor(self.max_push_queries + 1, "ksql-rows")

    # --- threads ------------------------------------------------------------------------------------------------------

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call something that blocks on one of the threads for statements."""
        return await asyncio.get_running_loop().run_in_executor(self._statement_threads, function, *arguments)

    async def pull(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call something that waits for rows; each open query has a thread to wait on."""
        return await asyncio.get_running_loop().run_in_executor(self._row_threads, function, *arguments)

    # --- open queries -------------------------------------------------------------------------------------------------

    def admit(self, start: Callable[[], OpenQuery]) -> OpenQuery:
        """Start a query that stays open, or refuse it where there are as many as there may be."""
        with self._lock:
            if len(self._open) + self._starting >= self.max_push_queries:
                raise RestError(
                    f"Maximum number of push queries exceeded: {self.max_push_queries} are open. Close some, or raise "
                    f"{MAX_PUSH_QUERIES}.",
                    code=TOO_MANY_QUERIES,
                )
            self._starting += 1
        try:
            query = start()
        except BaseException:
            with self._lock:
                self._starting -= 1
            raise
        with self._lock:
            self._starting -= 1
            self._open[query.query_id] = query
        return query

    def open_queries(self) -> list[OpenQuery]:
        with self._lock:
            return list(self._open.values())

    def owner(self, query_id: str) -> str | None:
        """The user of an open query."""
        with self._lock:
            query = self._open.get(query_id)
        return None if query is None else query.owner

    def close_query(self, query_id: str) -> bool:
        """End an open query; False if there is none of that id."""
        with self._lock:
            query = self._open.pop(query_id, None)
        if query is None:
            return False
        query.stream.close()
        return True

    def close_soon(self, query_id: str) -> None:
        """End an open query without waiting for it: its client has gone."""
        self._statement_threads.submit(self.close_query, query_id)

    def close(self) -> None:
        """End all open queries; the runtime is the caller's to close."""
        for query in self.open_queries():
            self.close_query(query.query_id)

    def stop_threads(self) -> None:
        self._statement_threads.shutdown(wait=True, cancel_futures=False)
        self._row_threads.shutdown(wait=True, cancel_futures=True)

    # --- commands -----------------------------------------------------------------------------------------------------

    def remember(self, command_id: str, status: dict[str, Any], sequence_number: int) -> None:
        """Keep what became of a command, for /status."""
        with self._lock:
            self.statuses[command_id] = status
            self.statuses.move_to_end(command_id)
            if len(self.statuses) > REMEMBERED_COMMANDS:
                self.statuses.popitem(last=False)
            self.last_sequence_number = max(sequence_number, self.last_sequence_number or -1)


class Lines:
    """An iterator of text lines as something that can be read in turns and closed from another thread (PRINT)."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._reading = threading.Lock()
        self._closed = False

    def next_line(self) -> str | None:
        """The next line, None at the end."""
        with self._reading:
            return None if self._closed else next(self._lines, None)

    def close(self) -> None:
        """End it; waits for a line that is being read."""
        self._closed = True
        with self._reading:
            close = getattr(self._lines, "close", None)
            if close is not None:
                close()
