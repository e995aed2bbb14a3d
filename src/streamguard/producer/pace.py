"""Holding a rate: records leave when their event time says so, on a clock that runs as fast as asked.

The clock and the sleep are passed in, so that a test plays an hour in a moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from streamguard.producer.arrivals import Slots

MAX_LAG_S = 1.0
_SHORTEST_SLEEP_S = 0.002


class Pacer:
    """Lets event times through at `speed` event seconds per second of `clock`.

    Who falls behind by more than a second (a broker that was down, a rate out of reach) does not storm ahead to make up
    for it: the lost time is skipped, and `skipped_s` says how much it was.
    """

    def __init__(
        self,
        speed: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.skipped_s = 0.0
        self._speed = speed
        self._clock = clock
        self._sleep = sleep
        self._origin_s: float | None = None
        self._origin_event_ms = 0

    def wait(self, event_ms: int) -> float:
        """Sleep until that event time is due; returns the seconds skipped because it was long overdue, mostly 0."""
        now_s = self._clock()
        if self._origin_s is None:
            self._origin_s, self._origin_event_ms = now_s, event_ms
        due_s = self._origin_s + (event_ms - self._origin_event_ms) / (1000 * self._speed)
        if due_s - now_s > _SHORTEST_SLEEP_S:
            self._sleep(due_s - now_s)
            return 0.0
        lag_s = now_s - due_s
        if lag_s <= MAX_LAG_S:
            return 0.0
        self._origin_s += lag_s
        self.skipped_s += lag_s
        return lag_s

    def pace(self, slots: Slots) -> Iterator[int]:
        """The slots, each when it is due. Time that was skipped is left out of the event times as well."""
        for slot_ms in slots:
            lag_s = self.wait(slot_ms)
            if lag_s:
                # Both clocks jump: this slot is due now, the next ones continue from the instant that is now.
                slots.skip(lag_s * 1000 * self._speed)
                self._origin_event_ms += round(lag_s * 1000 * self._speed)
                assert self._origin_s is not None
            yield slot_ms


def until(slots: Iterable[int], end_ms: float) -> Iterator[int]:
    """The slots before `end_ms`."""
    for slot_ms in slots:
        if slot_ms >= end_ms:
            return
        yield slot_ms
