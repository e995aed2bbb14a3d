"""A clock that moves only when a test moves it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class ManualClock:
    """Both readings are `now_ms`."""

    now_ms: int = 1_700_000_000_000

    def wall_ms(self) -> int:
        return self.now_ms

    def monotonic_ms(self) -> int:
        return self.now_ms
