"""The changelog of a query: its state, and how far it has read, in one compacted topic.

A commit is one Kafka transaction: the last value of every key that changed, then a marker with the positions in the input
topics that this state means. Who reads committed records has state and positions of the same commit, so a record is
accumulated in the state exactly once, whenever the process is killed, and compaction never puts a value that was not
committed in the place of one that was (KIP-98).

Key: MessagePack of (store, partition, key), of ("commit",) for the marker. Value: MessagePack, null for a removed key.

Where several engines divide the query's partitions, all write to this one topic, and each marker is of one partition:
("commit", partition). Of entries and positions the last one counts, whoever wrote it; what is of others' partitions is
passed over.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from itertools import chain
from typing import Any

from streamguard_ksql.errors import KsqlError
from streamguard_ksql.operators.record import OutputRecord
from streamguard_ksql.operators.state import Stores, decode, decode_key, encode, encode_key
from streamguard_ksql.runtime.clients import LARGEST_RECORD_BYTES, KafkaTopics, Message, Positions, Sender, Servers
from streamguard_ksql.runtime.corrupt import read_range
from streamguard_ksql.runtime.memory import restoring

log = logging.getLogger(__name__)
_COMMIT = ("commit",)
MARKER = encode_key(_COMMIT)
_MARKER_OF_PARTITION = encode_key((*_COMMIT, 0))[: len(MARKER)]
"""How the key of a marker of one partition begins: as an array of two."""
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


class UncommittedChanges(KsqlError):
    """A changelog with changes behind its last commit: the query cannot go on from it."""


class Changelog:
    """One query's changelog."""

    def __init__(self, servers: Servers, topics: KafkaTopics, topic: str) -> None:
        self.topic = topic
        self._servers = servers
        self._topics = topics

    def restore(self, stores: Stores, partitions: Collection[int] | None = None) -> Positions:
        """Fill the stores, of these partitions or of all; returns the positions of the last commit, none if there never was
        one. Nothing else is in memory.

        Raises CorruptBatch, and UncommittedChanges for what a version without transactions left when it was killed.
        """
        start, end = self._topics.ends(self.topic)
        tail = self._tail(start, end)
        if not tail:
            return {}
        if not _is_marker(tail[-1].key()):
            raise UncommittedChanges(
                f"The changelog {self.topic} ends with changes that an earlier version did not commit before it was killed: "
                "start that version once more and stop it, or drop the query and create it again."
            )
        restored = 0
        positions: Positions = {}
        before = read_range(self._servers, self.topic, start, tail[0].offset(), NEED)
        with restoring():
            for message in chain(before, tail):
                if _is_marker(message.key()):
                    _move(positions, _with_numbers(decode(message.value())), partitions)
                else:
                    restored += self._apply(stores, message, partitions)
        log.info("%s: restored %d entries", self.topic, restored)
        return positions

    def _tail(self, start: int, end: int) -> list[Message]:
        """The last records, from so far back that the last marker is among them if there is one."""
        length = TAIL
        while True:
            first = max(start, end - length)
            tail = list(read_range(self._servers, self.topic, first, end, NEED))
            if first == start or any(_is_marker(m.key()) for m in tail):
                return tail
            length *= 8

    def _apply(self, stores: Stores, message: Message, partitions: Collection[int] | None) -> int:
        name, partition, inner = decode_key(message.key())
        if partitions is not None and partition not in partitions:
            return 0
        value = message.value()
        stores.restore(name, partition, inner, None if value is None else decode(value))
        return 1

    def write_changes(self, sender: Sender, stores: Stores) -> int:
        """Hand over the last value of every key changed since the last commit; how many there were."""
        count = 0
        for name, partition, key, value in stores.changes():
            self._send(sender, encode_key((name, partition, key)), None if value is None else encode(value))
            count += 1
        return count

    def write_marker(self, sender: Sender, positions: Positions) -> None:
        """Close what was written: these are the positions that it means."""
        self._send(sender, MARKER, encode(positions))

    def write_markers(self, sender: Sender, positions: Positions) -> None:
        """The same of some of the partitions, where others have the rest."""
        for partition in {p for offsets in positions.values() for p in offsets}:
            of_partition = {topic: {partition: offsets[partition]} for topic, offsets in positions.items()}
            self._send(sender, encode_key((*_COMMIT, partition)), encode(of_partition))

    def _send(self, sender: Sender, key: bytes, value: bytes | None) -> None:
        sender.send(OutputRecord(self.topic, key, value, -1))


def _is_marker(key: bytes) -> bool:
    return key == MARKER or key.startswith(_MARKER_OF_PARTITION)


def _move(positions: Positions, found: Positions, partitions: Collection[int] | None) -> None:
    """Take over the positions of a marker, of these partitions."""
    for topic, offsets in found.items():
        wanted = {p: offset for p, offset in offsets.items() if partitions is None or p in partitions}
        positions.setdefault(topic, {}).update(wanted)


def _with_numbers(positions: Any) -> Positions:
    """Positions as they came from MessagePack, with integer partitions."""
    return {topic: {int(p): o for p, o in offsets.items()} for topic, offsets in positions.items()}
