"""A plain Python reading of the two core rules, to compare what they find with; and transactions that come without end."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

import orjson

from tests.support.engine import produce
from tests.support.records import T0_MS, transaction_value
from tests.support.topics import read_topic

Version = tuple[str, int, str]
"""The id of an alert, its count of transactions, and the transaction that raised this version."""


class Arrivals:
    """Transactions of some accounts, one every 400 ms of their own time, which are sent as fast as the broker takes them."""

    def __init__(self, servers: str, start_ms: int = T0_MS) -> None:
        self._servers, self._start_ms = servers, start_ms
        self._random = random.Random(5)
        self._sent = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def send(self, count: int) -> None:
        """So many more; returns when they are stored."""
        records = []
        for number in range(self._sent, self._sent + count):
            account, amount = f"A{self._random.randrange(40)}", self._random.randrange(100, 3_500)
            records.append((account, transaction_value(f"t{number}", account, amount, self._start_ms + 400 * number)))
        self._sent += count
        produce(self._servers, "transactions", records)

    def __enter__(self) -> Arrivals:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.send(20)


def versions(servers: str, limits: Mapping[int, int], old_count: int, new_count: int) -> set[Version]:
    """What HIGH_VELOCITY raises over the topic: with the old limit before the offsets `limits`, with the new one from there."""
    found: set[Version] = set()
    seen: Counter[tuple[Any, int]] = Counter()
    for record in read_topic(servers, "transactions"):
        value = orjson.loads(record.value)
        window = (value["account_id"], value["event_time"] // 60_000 * 60_000)
        seen[window] += 1
        limit = old_count if record.offset < limits.get(record.partition, 0) else new_count
        if seen[window] > limit:
            found.add((f"HIGH_VELOCITY:{window[0]}:{window[1]}", seen[window], value["transaction_id"]))
    return found
