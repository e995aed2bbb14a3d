"""Figures that many look at: computed once for all, and again in the background when they are old.

Nobody waits for a figure that is there: an old one is shown, and its successor is computed meanwhile.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from streamguard.database import is_outage

log = logging.getLogger("streamguard.desk")

T = TypeVar("T")

_FIRST_S = 0.2
"""What is ready within so long is shown at once."""
_RESTS = 40
"""A figure rests so many times as long as it took: all that are watched cost the database a few percent of a core each."""


class Cache:
    """Results of functions of a database connection, by name."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._values: dict[str, tuple[float, Any]] = {}
        self._took_s: dict[str, float] = {}
        self._busy: set[str] = set()
        self._lock = threading.Lock()
        self._turn = threading.Lock()

    def get(self, name: str, compute: Callable[[Connection], T], *, for_s: float) -> T:
        """The result, `for_s` seconds old or little more; older where it takes long. Computed now only where there is none yet:
        errors of the database pass then."""
        found = self._values.get(name)
        if found is None:
            return self._compute(name, compute)
        if time.monotonic() - found[0] > max(for_s, _RESTS * self._took_s.get(name, 0.0)):
            self._refresh(name, compute)
        value: T = found[1]
        return value

    def soon(self, name: str, compute: Callable[[], T], *, for_s: float) -> tuple[T, float] | None:
        """The result with its age in seconds, None until it is there for the first time: nobody waits longer than a moment. For
        what takes seconds, or asks others than the database."""
        found = self._values.get(name)
        age_s = None if found is None else time.monotonic() - found[0]
        if age_s is None or age_s > for_s:

            def work() -> None:
                self._values[name] = time.monotonic(), compute()

            started = self._start(name, work)
            if found is None and started is not None:
                started.join(_FIRST_S)
                found, age_s = self._values.get(name), 0.0
        return None if found is None or age_s is None else (found[1], age_s)

    def _compute(self, name: str, compute: Callable[[Connection], T]) -> T:
        began = time.monotonic()
        with self._engine.begin() as connection:
            value = compute(connection)
        self._values[name] = time.monotonic(), value
        self._took_s[name] = time.monotonic() - began
        return value

    def _refresh(self, name: str, compute: Callable[[Connection], T]) -> None:
        def in_turn() -> None:
            # One after the other: the consumer shares the database.
            with self._turn:
                self._compute(name, compute)

        self._start(name, in_turn)

    def _start(self, name: str, task: Callable[[], object]) -> threading.Thread | None:
        """Run a task in the background; None where it runs already."""
        with self._lock:
            if name in self._busy:
                return None
            self._busy.add(name)

        def work() -> None:
            try:
                task()
            except Exception as error:
                if not is_outage(error):
                    log.exception("computing %s failed", name)
            finally:
                self._busy.discard(name)

        thread = threading.Thread(target=work, name=f"cache {name}", daemon=True)
        thread.start()
        return thread
