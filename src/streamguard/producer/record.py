"""One record on its way to a topic or a file, made by the simulator, a replayed file, the velocity command."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, NamedTuple

import orjson


class Record(NamedTuple):
    """Key and value as they go over the wire; what they are (`label` and the like) goes into headers, never the value.

    `topic` is empty for the transactions topic. `value` is None for a tombstone. `event_time` is epoch milliseconds.
    """

    key: bytes
    value: bytes | None
    event_time: int
    label: str = ""
    lookalike: str = ""
    incident: str = ""
    defect: str = ""
    topic: str = ""

    def headers(self) -> list[tuple[str, bytes]]:
        """`label` always, the others where they say something."""
        headers = [("label", self.label.encode())]
        if self.lookalike:
            headers.append(("lookalike", self.lookalike.encode()))
        if self.incident:
            headers.append(("incident", self.incident.encode()))
        if self.defect:
            headers.append(("defect", self.defect.encode()))
        return headers

    @property
    def kind(self) -> str:
        """What a summary counts it under."""
        return self.topic or self.defect or self.label or self.lookalike or "ordinary"


def encode(fields: dict[str, Any], label: str = "", lookalike: str = "", incident: str = "") -> Record:
    """A record of a transaction's fields: keyed by its account."""
    return Record(fields["account_id"].encode(), orjson.dumps(fields), fields["event_time"], label, lookalike, incident)


def utc(time_ms: int) -> str:
    """An instant (epoch milliseconds) as a person reads it."""
    try:
        return datetime.fromtimestamp(time_ms / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return f"{time_ms} ms"
