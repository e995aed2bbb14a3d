"""The changelog of a query: its state, and how far it has read, in one compacted topic.

A commit writes the last value of every key that changed, then a marker with the positions in the input topics that this
state means. Only what a marker has closed counts: state and positions are restored from the same commit, so a
record is accumulated in the state exactly once, whenever the process is killed. What a crash left behind the last
marker is taken back at start (each such key is written again as the last commit had it), before anything new is
written: a later marker must not close over it.

Key: MessagePack of (store, partition, key), of ("commit",) for the marker. Value: MessagePack, null for a removed key.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from streamguard_ksql.operators.record import OutputRecord
from streamguard_ksql.operators.state import Stores, decode, decode_key, encode, encode_key
from streamguard_ksql.runtime.clients import LARGEST_RECORD_BYTES, KafkaTopics, Message, Positions, Sender
from streamguard_ksql.runtime.corrupt import read_range

log = logging.getLogger(__name__)
MARKER = encode_key(("commit",))
TOPIC_CONFIG = {
    "cleanup.policy": "compact",
    "min.compaction.lag.ms": "600000",
    "max.message.bytes": str(LARGEST_RECORD_BYTES),
}


NEED = (
    "The query's state is in it and would be wrong without that batch: restore the topic from a backup, or drop the query "
    "and create it again to compute its state anew."
)
TAIL = 2_000
"""How many offsets from the end the last marker is first looked for."""


@dataclass(frozen=True)
class Restored:
    """What a changelog had: the positions of the last commit (None if there never was one), and the keys of what a crash
    left behind it."""

    positions: Positions | None
    behind: list[bytes]


class Changelog:
    """One query's changelog."""

    def __init__(self, servers: str, topics: KafkaTopics, topic: str) -> None:
        self.topic = topic
        self._servers = servers
        self._topics = topics

    def restore(self, stores: Stores) -> Restored:
        """Fill the stores from what the last marker closes. Nothing is in memory but the state and the tail."""
        start, end = self._topics.ends(self.topic)
        tail = self._tail(start, end)
        last = max((i for i, m in enumerate(tail) if m.key() == MARKER), default=None)
        behind = [m.key() for m in (tail if last is None else tail[last + 1 :])]
        if last is None:
            log.info("%s: no commit, %d entries are taken back", self.topic, len(behind))
            return Restored(None, behind)
        restored = 0
        for message in read_range(self._servers, self.topic, start, tail[0].offset(), NEED):
            restored += self._apply(stores, message)
        for message in tail[:last]:
            restored += self._apply(stores, message)
        log.info("%s: restored %d entries, %d behind the last commit are taken back", self.topic, restored, len(behind))
        return Restored(_with_numbers(decode(tail[last].value())), behind)

    def _tail(self, start: int, end: int) -> list[Message]:
        """The last records, from so far back that the last marker is among them if there is one."""
        length = TAIL
        while True:
            first = max(start, end - length)
            tail = list(read_range(self._servers, self.topic, first, end, NEED))
            if first == start or any(m.key() == MARKER for m in tail):
                return tail
            length *= 8

    def _apply(self, stores: Stores, message: Message) -> int:
        key, value = message.key(), message.value()
        if key == MARKER:
            return 0
        name, partition, inner = decode_key(key)
        stores.restore(name, partition, inner, None if value is None else decode(value))
        return 1

    def take_back(self, sender: Sender, stores: Stores, keys: Iterable[bytes], positions: Positions | None) -> None:
        """Write the last committed value of keys that a crash left behind, and a marker."""
        behind: dict[tuple[str, int], list[Any]] = {}
        for key in dict.fromkeys(keys):
            name, partition, inner = decode_key(key)
            behind.setdefault((name, partition), []).append(inner)
        for (name, partition), inners in behind.items():
            store = stores.by_name.get(name)
            recovered = ((inner, None) for inner in inners) if store is None else store.recover(partition, inners)
            for inner, value in recovered:
                self._send(sender, encode_key((name, partition, inner)), None if value is None else encode(value))
        sender.flush()
        if positions is not None:
            self.write_marker(sender, positions)
            sender.flush()

    def write_changes(self, sender: Sender, stores: Stores) -> int:
        """Hand over the last value of every key changed since the last commit; how many there were."""
        count = 0
        for name, partition, key, value in stores.changes():
            self._send(sender, encode_key((name, partition, key)), None if value is None else encode(value))
            count += 1
        return count

    def write_marker(self, sender: Sender, positions: Positions) -> None:
        self._send(sender, MARKER, encode(positions))

    def _send(self, sender: Sender, key: bytes, value: bytes | None) -> None:
        sender.send(OutputRecord(self.topic, key, value, -1))


def _with_numbers(positions: Any) -> Positions:
    """Positions as they came from MessagePack, with integer partitions."""
    return {topic: {int(p): o for p, o in offsets.items()} for topic, offsets in positions.items()}
