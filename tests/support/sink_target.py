"""What the destination of a sink is for tests: it can be away, come back, and be read with other eyes than the sink's."""

from __future__ import annotations

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

Place = tuple[str, int, int]
Row = tuple[Place, object]
"""Topic, partition and offset; and the transaction's id, or the bytes of what is no transaction."""

TABLES = ("transactions", "fraud_alerts", "decisions", "rejected")


class Target(ABC):
    """Where a sink writes to; made with a folder of its own."""

    name: str
    """That of the sink."""
    is_once = True
    """Whether a record may be there once only."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """The settings that let the sink write there."""

    @abstractmethod
    def away(self) -> None:
        """Take no more records."""

    @abstractmethod
    def back(self) -> None:
        """Take them again."""

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """What is there."""

    def count(self) -> int:
        """How many records are there."""
        return len({place for place, _ in self.rows()})

    def mend(self) -> None:
        """What whoever runs it does when there is room on its disk again."""
        return

    def close(self) -> None:
        """End what was started for it."""
        return


def row_of_json(record: dict[str, Any], place: Place) -> Row:
    if "value_base64" in record:
        return place, base64.b64decode(record["value_base64"])
    value = record["value"]
    if value is None or isinstance(value, dict):
        return place, None if value is None else value.get("transaction_id")
    return place, json.dumps(value).encode()
