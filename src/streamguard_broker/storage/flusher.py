"""Group commit: all requests that wait for one partition share one sync.

Each partition has at most one sync in progress; requests that arrive meanwhile wait for the next, which covers them
all. It covers what is written: a request for more waits for `storage.writer` first. Syncs of different partitions run in
parallel on a few threads; the event loop never waits for a disk.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.storage.durability import FlushWork
from streamguard_broker.storage.log import PartitionLog

_THREADS = 4


class Flusher:
    """Owns the sync threads. Use from the event loop's thread only."""

    def __init__(self, on_sync: Callable[[float], None] | None = None) -> None:
        """`on_sync` gets the seconds that each sync took."""
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="fsync")
        self._waiters: dict[PartitionLog, list[tuple[int, asyncio.Future[None]]]] = {}
        self._running: dict[PartitionLog, asyncio.Future[None]] = {}
        self._on_sync = on_sync

    def request(self, log: PartitionLog) -> asyncio.Future[None] | None:
        """Begin to make durable all that `log` has now; None if it is.

        The future ends in KafkaError KAFKA_STORAGE_ERROR if it cannot be.
        """
        if log.flushed_offset >= log.next_offset and log.failure is None:
            return None
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(log, []).append((log.next_offset, future))
        if log not in self._running:
            self._start(log)
        return future

    async def flush(self, log: PartitionLog) -> None:
        """Return when all that `log` has now is durable. Raises KafkaError KAFKA_STORAGE_ERROR if it cannot be."""
        future = self.request(log)
        if future is not None:
            await future

    def written(self, log: PartitionLog, failure: KafkaError | None) -> None:
        """Something was written, or could not be: sync what requests wait for, or tell them."""
        if failure is not None:
            for offset, future in self._waiters.get(log, ()):
                if offset > log.end_offset and not future.done():
                    future.set_exception(failure)
        if log in self._waiters and log not in self._running:
            self._start(log)

    def flush_in_background(self, log: PartitionLog) -> None:
        """Begin a sync if the partition needs one and none is in progress; no request waits for it."""
        if log not in self._running and log.failure is None and not log.closed:
            self._start(log)

    def _start(self, log: PartitionLog) -> None:
        work = None if log.failure is not None or log.closed else log.begin_flush()
        if work is None:
            self._resolve(log)
            return
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._executor, self._timed, work)
        self._running[log] = future
        future.add_done_callback(lambda _: self._finish(log, work))

    def _timed(self, work: FlushWork) -> None:
        started = perf_counter()
        work.run()
        if self._on_sync is not None:
            self._on_sync(perf_counter() - started)

    def _finish(self, log: PartitionLog, work: FlushWork) -> None:
        del self._running[log]
        log.end_flush(work)
        self._resolve(log)
        if self._waiters.get(log):
            self._start(log)

    def _resolve(self, log: PartitionLog) -> None:
        """Complete the requests that the last sync covers; after a failure, all of them."""
        waiting = []
        for offset, future in self._waiters.pop(log, ()):
            if future.done():
                continue
            if log.failure is not None or log.closed:
                reason = log.failure or "The partition is closed."
                future.set_exception(KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, reason))
            elif offset <= log.flushed_offset:
                future.set_result(None)
            else:
                waiting.append((offset, future))
        if waiting:
            self._waiters[log] = waiting

    async def wait_until_idle(self, log: PartitionLog) -> None:
        """Wait for the sync of `log` in progress, if any: before it is closed or deleted."""
        running = self._running.get(log)
        if running is not None:
            await asyncio.wait([running])

    async def close(self) -> None:
        """Wait for the syncs in progress and stop the threads."""
        if self._running:
            await asyncio.wait(list(self._running.values()))
        with contextlib.suppress(RuntimeError):
            self._executor.shutdown(wait=True)
