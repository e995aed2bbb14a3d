"""Ctrl-C and SIGTERM as a flag: work ends between two records, never inside one, so the counts stay true."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Stopped(Exception):
    """Raised inside a wait that a signal has ended."""


class Stop:
    """How often one was asked to stop: once means finish what is on the way, twice means leave now."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._asked = 0

    @property
    def requested(self) -> bool:
        return self._asked >= 1

    @property
    def forced(self) -> bool:
        return self._asked >= 2

    def ask(self) -> None:
        """Ask to stop; wakes a sleeper."""
        self._asked += 1
        self._event.set()

    def sleep(self, seconds: float) -> bool:
        """Sleep, but not past the request to stop; returns whether one was asked to."""
        return self._event.wait(min(seconds, threading.TIMEOUT_MAX))


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """A Stop that SIGINT and SIGTERM ask, while the block runs; outside the main thread no signal sets it."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stop.ask()) for number in signals]
    try:
        yield stop
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
