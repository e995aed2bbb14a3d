"""Time as a parameter: wall time for records and retention, monotonic time for sessions and deadlines."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Both readings are in milliseconds."""

    def wall_ms(self) -> int: ...
    def monotonic_ms(self) -> int: ...


class SystemClock:
    """The system's clocks."""

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000
