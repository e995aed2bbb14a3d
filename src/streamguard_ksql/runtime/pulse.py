"""What a query's thread shows of itself, and how it is ended in the middle of its work."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from streamguard_ksql.errors import LimitExceeded
from streamguard_ksql.topology import Topology


class Interrupted(BaseException):
    """Raised in a query's thread from outside. Not an Exception: no handler of errors on the way takes it for its own."""


class Pulse:
    """The state of a thread's work. The thread calls `begin` and `end` around each batch; others read and interrupt."""

    def __init__(self, thread: threading.Thread) -> None:
        self.thread = thread
        self.batches = 0
        """Begun and ended, both counted: odd while one is processed."""
        self.exceeded: LimitExceeded | None = None
        """Why the query has to end; the thread raises it between batches."""
        self.interrupted = False
        """Whether Interrupted was raised in the thread, or is about to be."""
        self._lock = threading.Lock()

    def begin(self) -> None:
        self.batches += 1

    def end(self) -> None:
        """From here on nobody interrupts the thread; what was raised before may be on its way."""
        with self._lock:
            self.batches += 1

    def reset(self) -> None:
        """No batch is processed: the last one may have ended with an error."""
        self.batches += self.batches % 2

    @property
    def is_busy(self) -> bool:
        return self.batches % 2 == 1 and self.thread.is_alive()

    def cpu_s(self) -> float:
        """The CPU time of the thread in seconds, 0 where the system does not tell (macOS)."""
        clock_of = getattr(time, "pthread_getcpuclockid", None)
        if clock_of is None or self.thread.ident is None or not self.thread.is_alive():
            return 0.0
        return time.clock_gettime(clock_of(self.thread.ident))

    def interrupt(self) -> None:
        """Raise Interrupted in the thread if it processes a batch, as soon as it comes to a next step in Python."""
        with self._lock:
            if self.is_busy:
                self.interrupted = True
                ident = ctypes.c_ulong(self.thread.ident or 0)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(Interrupted))

    def exceed(self, reason: LimitExceeded) -> None:
        """End the query with a reason."""
        self.exceeded = self.exceeded or reason
        self.interrupt()


class Statement:
    """A statement that computes on the thread of its request, as something that can be watched and ended."""

    def __init__(self, query_id: str) -> None:
        self.query_id = query_id
        self.topology: Topology | None = None
        self.pulse = Pulse(threading.current_thread())

    def exceed(self, reason: LimitExceeded) -> None:
        self.pulse.exceed(reason)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around what it computes; raises the reason where it was ended."""
        came = False
        try:
            self.pulse.begin()
            try:
                yield
            except Interrupted:
                came = True
                raise
            finally:
                self.pulse.end()
                # One that is on its way must not take the next statement of this thread with it. It is waited for: Python
                # 3.11, told to forget it, looks for it for ever.
                while self.pulse.interrupted and not came:
                    time.sleep(0.001)
        except Interrupted:
            raise self.pulse.exceeded or LimitExceeded("The statement was interrupted.") from None
