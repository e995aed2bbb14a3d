"""Who looks at which alert, for the others to see. Kept in memory: it is true for a minute at most."""

from __future__ import annotations

import threading
import time

_TRUE_FOR_S = 60.0


class Presence:
    """The alert that each user looks at."""

    def __init__(self) -> None:
        self._looking: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def look(self, user: str, alert_id: str) -> None:
        """A user opens an alert; the one before is closed by that."""
        with self._lock:
            self._looking[user] = alert_id, time.monotonic()

    def others(self, user: str, alert_id: str) -> list[str]:
        """Who else has looked at the alert within the last minute."""
        now = time.monotonic()
        with self._lock:
            return sorted(
                name
                for name, (looked_at, at) in self._looking.items()
                if name != user and looked_at == alert_id and now - at < _TRUE_FOR_S
            )
