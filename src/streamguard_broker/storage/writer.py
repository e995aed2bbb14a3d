"""The thread of a disk: it writes what is queued, all partitions in turn, so that the event loop never waits for a disk.

All that is queued while a write is in progress is in the next one. Other work on files, such as deletions, is done in
turn with the writes (`run`); syncs have threads of their own (`storage.flusher`), so that no write waits for one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from streamguard_broker.errors import KafkaError
from streamguard_broker.storage.appends import WriteWork
from streamguard_broker.storage.log import PartitionLog

T = TypeVar("T")
_Works = list[tuple[PartitionLog, WriteWork]]


class LogWriter:
    """Owns the thread. Use from the event loop's thread only; without a running loop all is written at once."""

    def __init__(self, on_write: Callable[[PartitionLog, KafkaError | None], None]) -> None:
        """`on_write` is called after each write of a partition, with why it failed, before anything more is queued."""
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="disk")
        self._on_write = on_write
        self._scheduled: dict[PartitionLog, None] = {}
        self._waiters: dict[PartitionLog, list[tuple[int, asyncio.Future[None]]]] = {}
        self._running: asyncio.Future[None] | None = None
        self._soon = False

    def schedule(self, log: PartitionLog) -> None:
        """Begin to write what is queued for `log`, with all else that is queued until the loop's next turn."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            log.write()
            return
        self._scheduled[log] = None
        if self._running is None and not self._soon:
            self._soon = True
            loop.call_soon(self._start)

    def written(self, log: PartitionLog) -> asyncio.Future[None] | None:
        """Done when all that is queued for `log` now is written; None if it is.

        Ends in KafkaError KAFKA_STORAGE_ERROR if it cannot be.
        """
        if log.next_offset <= log.end_offset:
            return None
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(log, []).append((log.next_offset, future))
        return future

    async def wait_until_idle(self, log: PartitionLog) -> None:
        """Wait until nothing is queued for `log`: before it is closed or deleted."""
        while log.unwritten:
            if self._running is not None:
                await asyncio.wait([self._running])
            else:
                await asyncio.sleep(0)

    async def run(self, function: Callable[[], T]) -> T:
        """Call `function` on the thread, after what was begun before."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)

    def _start(self) -> None:
        self._soon = False
        logs, self._scheduled = self._scheduled, {}
        works: _Works = [(log, work) for log in logs for work in [log.begin_write()] if work is not None]
        if works:
            self._running = asyncio.get_running_loop().run_in_executor(self._executor, _run_all, works)
            self._running.add_done_callback(lambda _: self._finish(works))

    def _finish(self, works: _Works) -> None:
        self._running = None
        for log, work in works:
            failure = log.end_write(work)
            self._resolve(log, failure)
            self._on_write(log, failure)
        if self._scheduled and not self._soon:
            self._start()

    def _resolve(self, log: PartitionLog, failure: KafkaError | None) -> None:
        """Complete the requests that the write covers; after a failed one, all of them."""
        waiting = []
        for offset, future in self._waiters.pop(log, ()):
            if future.done():
                continue
            if failure is not None:
                future.set_exception(failure)
            elif offset <= log.end_offset:
                future.set_result(None)
            else:
                waiting.append((offset, future))
        if waiting:
            self._waiters[log] = waiting

    async def close(self) -> None:
        """Write what is queued and stop the thread."""
        while self._running is not None or self._soon:
            if self._running is not None:
                await asyncio.wait([self._running])
            else:
                await asyncio.sleep(0)
        with contextlib.suppress(RuntimeError):
            self._executor.shutdown(wait=True)


def _run_all(works: _Works) -> None:
    for _, work in works:
        work.run()
