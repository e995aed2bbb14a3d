"""Which alarms are pending or firing, and since when: changed by what holds at an instant, and by nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from streamguard.alarms.promql.functions import Vector
from streamguard.alarms.rules import Alarm
from streamguard.alarms.words import sentence

PENDING, FIRING, RESOLVED = "pending", "firing", "resolved"


@dataclass(frozen=True)
class Active:
    """An alarm whose condition holds, since `since_s`; it fires from `firing_s` on. Epoch seconds."""

    name: str
    labels: Mapping[str, str]
    summary: str
    value: float
    since_s: float
    firing_s: float | None = None

    @property
    def key(self) -> str:
        """The same for as long as name and labels are."""
        text = "\x00".join(f"{label}\x01{value}" for label, value in sorted(self.labels.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def state(self) -> str:
        """`pending` or `firing`."""
        return PENDING if self.firing_s is None else FIRING


class States:
    """All alarms whose condition holds, by key."""

    def __init__(self, active: Iterable[Active] = ()) -> None:
        self._active = {alarm.key: alarm for alarm in active}

    @property
    def all(self) -> Sequence[Active]:
        """Those that fire first, then by age."""
        return sorted(
            self._active.values(), key=lambda alarm: (alarm.firing_s is None, alarm.since_s, alarm.name, alarm.key)
        )

    @property
    def firing(self) -> Sequence[Active]:
        """Those that fire."""
        return [alarm for alarm in self.all if alarm.firing_s is not None]

    def update(
        self, alarms: Iterable[Alarm], holds: Mapping[str, Vector], at_s: float, *, keep_firing: bool = False
    ) -> None:
        """Note what holds now; what does not any more ends, unless it fires and those are kept."""
        before = self._active
        self._active = {key: alarm for key, alarm in before.items() if keep_firing and alarm.firing_s is not None}
        for alarm in alarms:
            for found, value in holds.get(alarm.name, {}).items():
                labels = {**dict(found), **alarm.labels, "alertname": alarm.name}
                made = Active(alarm.name, labels, sentence(alarm.summary, dict(found), value), value, at_s)
                known = before.get(made.key)
                since_s = known.since_s if known else at_s
                firing_s = known.firing_s if known else None
                if firing_s is None and at_s - since_s >= alarm.for_s:
                    firing_s = at_s
                self._active[made.key] = replace(made, since_s=since_s, firing_s=firing_s)

    def dump(self) -> list[dict[str, Any]]:
        """As JSON takes it."""
        return [{**vars(alarm), "labels": dict(alarm.labels)} for alarm in self.all]
