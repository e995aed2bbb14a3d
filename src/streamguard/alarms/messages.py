"""What a receiver is told: alarms that fire and alarms that have ended, as text and as JSON of Alertmanager's form.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from streamguard.alarms.states import FIRING, RESOLVED, Active

MOST = 100
"""Alarms that one message names; it says how many more there are."""
_NEVER = "0001-01-01T00:00:00Z"


@dataclass(frozen=True)
class Message:
    """Alarms that fire, and alarms that were told of and fire no more."""

    firing: Sequence[Active]
    resolved: Sequence[Active]
    at_s: float
    is_test: bool = False

    @property
    def subject(self) -> str:
        """One line."""
        counts = [f"{len(found)} {name}" for found, name in ((self.firing, FIRING), (self.resolved, RESOLVED)) if found]
        names = ", ".join(dict.fromkeys(alarm.name for alarm in (*self.firing, *self.resolved)))
        return f"StreamGuard: {'test, ' if self.is_test else ''}{', '.join(counts)}: {names}"[:200]

    @property
    def text(self) -> str:
        """A line for each alarm."""
        lines = [self.subject, ""]
        lines += [_line("FIRING  ", alarm, alarm.firing_s or alarm.since_s) for alarm in self.firing[:MOST]]
        lines += [_line("RESOLVED", alarm, self.at_s) for alarm in self.resolved[:MOST]]
        if more := sum(max(0, len(found) - MOST) for found in (self.firing, self.resolved)):
            lines.append(f"and {more} more: `streamguard alarms list`")
        return "\n".join([*lines, "", "What to do at each: docs/runbook.md, Alarms."]) + "\n"

    def to_json(self) -> dict[str, Any]:
        """As Alertmanager's webhook sends it, version 4."""
        alarms = [_as_json(alarm, None) for alarm in self.firing[:MOST]]
        alarms += [_as_json(alarm, self.at_s) for alarm in self.resolved[:MOST]]
        return {
            "version": "4",
            "groupKey": "{}:{}",
            "truncatedAlerts": len(self.firing) + len(self.resolved) - len(alarms),
            "status": FIRING if self.firing else RESOLVED,
            "receiver": "streamguard",
            "groupLabels": {},
            "commonLabels": {"alertname": "Test"} if self.is_test else {},
            "commonAnnotations": {},
            "externalURL": "",
            "alerts": alarms,
        }


def _as_json(alarm: Active, ended_s: float | None) -> dict[str, Any]:
    return {
        "status": FIRING if ended_s is None else RESOLVED,
        "labels": dict(alarm.labels),
        "annotations": {"summary": alarm.summary},
        "startsAt": _time(alarm.firing_s or alarm.since_s),
        "endsAt": _NEVER if ended_s is None else _time(ended_s),
        "generatorURL": "",
        "fingerprint": alarm.key,
    }


def _line(state: str, alarm: Active, since_s: float) -> str:
    severity = alarm.labels.get("severity", "none")
    return f"{state} [{severity}] {alarm.name} since {_time(since_s)}: {' '.join(alarm.summary.split())}"


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def trial_message(at_s: float) -> Message:
    """A message that is about nothing."""
    labels = {"alertname": "Test", "severity": "none"}
    return Message([Active("Test", labels, "a test: nothing has happened", 0.0, at_s, at_s)], [], at_s, is_test=True)
