"""When what has failed is tried again, and when it is given up."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Schedule:
    """Waits between attempts, seconds."""

    first_s: float = 5.0
    factor: float = 3.0
    longest_s: float = 3_600.0
    jitter: float = 0.2
    """A wait is longer or shorter by up to this share, so that what failed together does not come back together."""

    hold_after: int = 3
    """After so many failures in a row, of whichever delivery, the webhook itself has to wait: a receiver that is down is asked
    now and then, not once for everything that waits."""
    longest_hold_s: float = 600.0

    give_up: timedelta = timedelta(days=1)
    """A delivery that fails so long after its first attempt is given up."""

    def wait_s(self, attempts: int) -> float:
        """How long a delivery waits after its Nth attempt, from 1 on."""
        return self._spread(min(self.first_s * self.factor ** min(attempts - 1, 30), self.longest_s))

    def hold_s(self, failures: int) -> float | None:
        """How long a webhook waits after N failures in a row; None for not at all."""
        if failures < self.hold_after:
            return None
        return self._spread(min(self.first_s * 2.0 ** min(failures - self.hold_after, 30), self.longest_hold_s))

    def _spread(self, wait_s: float) -> float:
        return wait_s * random.uniform(1 - self.jitter, 1 + self.jitter)


SCHEDULE = Schedule()
