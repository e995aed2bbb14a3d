"""One request for what several threads ask for: at most one is under way, and its answer serves all that it is new enough for.

Queries that join the same stream with different tables ask at the same moments, each for its own partitions. A request
is for all that was asked for lately, so that the first of them asks for all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")

LATELY_S = 5.0
"""How long something goes on being asked for after the last one who wanted it."""


@dataclass(frozen=True)
class _Answer(Generic[Item, Value]):
    began_s: float
    found: Mapping[Item, Value]


class SharedRequest(Generic[Item, Value]):
    """Calls `request` with items, for what each is now. Thread-safe."""

    def __init__(self, request: Callable[[list[Item]], Mapping[Item, Value]]) -> None:
        self._request = request
        self._changed = threading.Condition()
        self._wanted: dict[Item, float] = {}
        """What is asked for, and when it last was."""
        self._answer: _Answer[Item, Value] = _Answer(0.0, {})
        self._is_under_way = False

    def ask(self, items: Collection[Item], since_s: float) -> Mapping[Item, Value]:
        """What at least these items were at some time after `since_s`, on the clock of time.monotonic.

        Raises what the request raises for these alone.
        """
        with self._changed:
            now_s = time.monotonic()
            self._wanted.update(dict.fromkeys(items, now_s))
            self._changed.wait_for(lambda: not self._is_under_way or self._serves(items, since_s))
            if self._serves(items, since_s):
                return self._answer.found
            lately = {item: at_s for item, at_s in self._wanted.items() if at_s > now_s - LATELY_S}
            self._wanted = lately | dict.fromkeys(items, now_s)
            asked = list(self._wanted)
            self._is_under_way = True
        began_s, found = time.monotonic(), None
        try:
            found = self._request(asked)
        except Exception:
            # Something that others asked for is gone, perhaps.
            self._wanted = {}
        finally:
            with self._changed:
                self._is_under_way = False
                if found is not None:
                    self._answer = _Answer(began_s, found)
                self._changed.notify_all()
        return self._request(list(items)) if found is None else found

    def _serves(self, items: Collection[Item], since_s: float) -> bool:
        return self._answer.began_s > since_s and all(item in self._answer.found for item in items)
