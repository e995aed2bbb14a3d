"""What is looked for in a topic, as the address of a page says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streamguard.config import UserError
from streamguard.dead_letters.find import BadTime, time_of
from streamguard.desk.site import Asker
from streamguard.kafka.browse import STEP_S, Browser
from streamguard.kafka.messages import Contains, Step, cursor_of

LIMITS = (20, 50, 100, 200, 500)
SCRIPT_STEP_S = 1.0
"""A page comes at once; its script, and a program, go on in longer steps."""


@dataclass(frozen=True)
class Look:
    """What is looked for, from the fields of an address. `start` is newest, oldest, an offset or a time."""

    partition: int | None
    start: str
    contains: Contains
    limit: int
    at: dict[int, int]

    @classmethod
    def of(cls, query: dict[str, str]) -> Look:
        """Raises UserError for what cannot be read."""
        partition, limit = query.get("partition", ""), query.get("limit", "50")
        if partition and not (partition.isdecimal() and len(partition) < 10):
            raise UserError(f"{partition[:20]!r} is no partition: a number is needed")
        start = query.get("from", "").strip() or "newest"
        if start.isdecimal() and len(start) > 18:
            raise UserError("an offset has at most 18 digits")
        texts = Contains(query.get("key", ""), query.get("value", ""), query.get("header", ""))
        size = int(limit) if limit.isdecimal() and int(limit) in LIMITS else 50
        at = cursor_of(query["at"]) if query.get("at") else {}
        return cls(int(partition) if partition else None, start, texts, size, at)

    @property
    def backward(self) -> bool:
        """From the newest back."""
        return self.start == "newest"

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the address, without the place to go on."""
        found = {
            "partition": self.partition,
            "from": "" if self.start == "newest" else self.start,
            "key": self.contains.key,
            "value": self.contains.value,
            "header": self.contains.header,
            "limit": "" if self.limit == 50 else self.limit,
        }
        return {name: value for name, value in found.items() if value not in (None, "")}

    def open(self, asker: Asker, topic: str, *, step_s: float = STEP_S) -> Browser:
        """The topic. Raises NoSuchTopic, KafkaError."""
        partitions = [] if self.partition is None else [self.partition]
        return Browser(asker.desk.settings.kafka, topic, partitions, step_s=step_s)

    def begin(self, browser: Browser) -> dict[int, int]:
        """Where a look forwards begins. Raises UserError for a time that cannot be read."""
        if self.at:
            return self.at
        if self.start in ("oldest", "newest"):
            return {}
        if self.start.isdecimal():
            return dict.fromkeys(browser.begins, int(self.start))
        return browser.at_time(place_time_ms(self.start))

    def step(self, browser: Browser) -> Step:
        """The next records."""
        if self.backward:
            return browser.backward(self.at, self.contains, self.limit)
        return browser.forward(self.begin(browser), self.contains, self.limit)


def place_time_ms(words: str) -> int:
    """A time in a topic, epoch milliseconds. Raises UserError."""
    if words.startswith("@") and words[1:].isdecimal() and len(words) < 17:
        return int(words[1:])
    try:
        return int(time_of(words).timestamp() * 1000)
    except (BadTime, OverflowError):
        raise UserError(
            f"{words[:40]!r} is no place to begin: newest, oldest, an offset, a time in UTC such as 2026-11-29T10:00, or so"
            " long ago: 2h"
        ) from None
