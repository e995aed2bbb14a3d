"""What each receiver has been told, and what it is to be told next. No clock and no connection is in here.

There is no queue: at each look what fires is compared with what the receiver knows. So an alarm that ends before the receiver
could be reached is never told of, and however long a receiver is down, it gets one message when it is back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamguard.alarms.messages import Message
from streamguard.alarms.states import Active

BETWEEN_S = 60.0
"""Two messages to a receiver are so far apart: what fires meanwhile is in one."""
FIRST_WAIT_S = 15.0
LONGEST_WAIT_S = 900.0
"""How long a receiver that fails is left alone: twice as long each time."""


@dataclass
class Told:
    """A receiver: the alarms it was told of, by key, and when; `next_s` is when it may get a message again. Epoch seconds."""

    alarms: dict[str, tuple[Active, float]] = field(default_factory=dict)
    next_s: float = 0.0
    failures: int = 0
    error: str = ""

    def due(self, firing: Sequence[Active], at_s: float, repeat_s: float) -> Message | None:
        """What it has to be told now; None where there is nothing, or it is left alone."""
        if at_s < self.next_s:
            return None
        keys = {alarm.key for alarm in firing}
        new = [alarm for alarm in firing if alarm.key not in self.alarms]
        again = [a for a in firing if a.key in self.alarms and at_s - self.alarms[a.key][1] >= repeat_s]
        ended = [alarm for key, (alarm, _) in self.alarms.items() if key not in keys]
        return Message([*new, *again], ended, at_s) if new or again or ended else None

    def sent(self, message: Message) -> None:
        """It has taken a message."""
        for alarm in message.firing:
            self.alarms[alarm.key] = (alarm, message.at_s)
        for alarm in message.resolved:
            self.alarms.pop(alarm.key, None)
        self.next_s, self.failures, self.error = message.at_s + BETWEEN_S, 0, ""

    def failed(self, error: str, at_s: float) -> None:
        """It could not be reached."""
        self.next_s = at_s + min(FIRST_WAIT_S * 2.0**self.failures, LONGEST_WAIT_S)
        self.failures, self.error = min(self.failures + 1, 30), error

    def dump(self) -> dict[str, Any]:
        """As JSON takes it."""
        alarms = [[{**vars(alarm), "labels": dict(alarm.labels)}, at_s] for alarm, at_s in self.alarms.values()]
        return {"alarms": alarms, "next_s": self.next_s, "failures": self.failures, "error": self.error}

    @classmethod
    def load(cls, dumped: Mapping[str, Any]) -> Told:
        """What `dump` gave."""
        alarms = [(Active(**alarm), float(at_s)) for alarm, at_s in dumped["alarms"]]
        by_key = {alarm.key: (alarm, at_s) for alarm, at_s in alarms}
        return cls(by_key, float(dumped["next_s"]), int(dumped["failures"]), str(dumped["error"]))
