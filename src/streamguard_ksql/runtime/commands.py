"""The command topic: every statement that defines or ends something, in order; the truth that a restart replays.

The offset of a statement numbers the query it starts, so that a replay gives every query the id it had.
Key: the command's id as ksqlDB forms it. Value: JSON with the statement and the properties it was sent with.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from streamguard_ksql.operators.record import OutputRecord
from streamguard_ksql.runtime.clients import KafkaTopics, KafkaUnavailable, Servers
from streamguard_ksql.runtime.corrupt import read_range
from streamguard_ksql.runtime.inserter import Inserter

log = logging.getLogger(__name__)
NEED = (
    "Sources and queries are defined by the statements in it: restore the topic from a backup, or start with an empty "
    "one (another service id) and send the statements again."
)


@dataclass(frozen=True)
class Command:
    """A statement of the command topic."""

    offset: int
    text: str
    properties: Mapping[str, Any]


class CommandLog:
    """Appends statements and reads them back. `next_offset`: of the first statement that has not been carried out."""

    def __init__(self, servers: Servers, topics: KafkaTopics, topic: str) -> None:
        self.servers = servers
        self.topic = topic
        self.next_offset = 0
        self.doubtful = False
        self._topics = topics
        topics.create(topic, 1, {"cleanup.policy": "delete", "retention.ms": "-1"})
        self._inserter = Inserter(servers)

    def replay(self) -> Iterator[Command]:
        """The statements that have not been carried out yet, oldest first."""
        start, end = self._topics.ends(self.topic)
        for message in read_range(self.servers, self.topic, max(start, self.next_offset), end, NEED):
            self.next_offset = message.offset() + 1
            command = _command(message.offset(), message.value())
            if command is not None:
                yield command
        self.doubtful = False

    def append(self, key: str, text: str, properties: Mapping[str, Any]) -> int:
        """Write a statement; its offset. Returns once it is on disk.

        KafkaUnavailable if there was no answer in time: it may be stored all the same, so `doubtful` is set, and `replay`
        is to be asked before anything else is appended.
        """
        value = orjson.dumps({"statement": text, "streamsProperties": dict(properties)})
        try:
            offset = self._inserter.insert(OutputRecord(self.topic, key.encode(), value, -1))
        except KafkaUnavailable:
            self.doubtful = True
            raise
        self.next_offset = offset + 1
        return offset

    def close(self) -> None:
        self._inserter.close()


def _command(offset: int, value: bytes | None) -> Command | None:
    """A record of the topic as a command; None, and an entry in the log, for what is none."""
    try:
        entry = orjson.loads(value or b"")
    except ValueError:
        entry = None
    properties = (entry.get("streamsProperties") or {}) if isinstance(entry, dict) else None
    if not isinstance(properties, dict) or "statement" not in entry:
        log.error("record %d of the command topic is no statement and is left out: %.200r", offset, value)
        return None
    return Command(offset, str(entry["statement"]), properties)
