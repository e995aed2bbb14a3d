"""Records as people look at them: one of them, what it has to contain, and the result of a step through a topic."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streamguard.config import UserError
from streamguard.kafka.corrupt import CorruptBatch

PREVIEW_BYTES = 2_000
"""So much of a value is kept for a list; the record itself may have megabytes."""
_CURSOR = re.compile(r"\d{1,9}:\d{1,18}(,\d{1,9}:\d{1,18})*")

Cursor = Mapping[int, int]


class NoSuchTopic(UserError):
    """The broker has no topic of this name."""


@dataclass(frozen=True)
class Message:
    """A record. `value` may be its beginning only: it has `value_size` bytes. `timestamp_ms` is None where it has none."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int | None
    key: bytes | None
    value: bytes | None
    value_size: int
    headers: tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True)
class Contains:
    """Texts that key, value and one header (`name: value`) have to contain; ASCII letters in any case. Empty is no limit."""

    key: str = ""
    value: str = ""
    header: str = ""

    def __bool__(self) -> bool:
        return bool(self.key or self.value or self.header)

    def fits(self, record: Any) -> bool:
        """Whether a record of the client contains them all."""
        if self.key and not _has(record.key, self.key):
            return False
        if self.value and not _has(record.value, self.value):
            return False
        lines = (f"{name}: ".encode() + (value or b"") for name, value in record.headers)
        return not self.header or any(_has(line, self.header) for line in lines)


@dataclass
class Step:
    """What a step found, in the order of reading. `looked` has the offsets `[low, high)` of each partition that it read, `next`
    where to go on: empty where nothing is left."""

    messages: list[Message] = field(default_factory=list)
    examined: int = 0
    looked: dict[int, tuple[int, int]] = field(default_factory=dict)
    skipped: dict[tuple[int, int], CorruptBatch] = field(default_factory=dict)
    next: dict[int, int] = field(default_factory=dict)


def cursor_of(words: str) -> dict[int, int]:
    """The inverse of `cursor_text`. Raises UserError."""
    if not _CURSOR.fullmatch(words):
        raise UserError(f"{words[:40]!r} is no place to go on: partition:offset,... is needed, such as 0:17,1:4")
    return {int(partition): int(offset) for partition, _, offset in (part.partition(":") for part in words.split(","))}


def cursor_text(cursor: Cursor) -> str:
    """A cursor for an address."""
    return ",".join(f"{partition}:{offset}" for partition, offset in sorted(cursor.items()))


def message_of(record: Any, whole: bool) -> Message:
    """A record of the client; its value only begins where it is not wanted whole."""
    value = record.value
    kept = value if whole or value is None else value[:PREVIEW_BYTES]
    at = record.timestamp if record.timestamp is not None and record.timestamp >= 0 else None
    headers = tuple((str(name), data) for name, data in record.headers)
    return Message(record.topic, record.partition, record.offset, at, record.key, kept, len(value or b""), headers)


def _has(data: bytes | None, words: str) -> bool:
    return data is not None and words.encode().lower() in data.lower()
