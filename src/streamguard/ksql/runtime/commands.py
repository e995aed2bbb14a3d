"""The command topic: every statement that defines or ends something, in order; the truth that a restart replays.

The offset of a statement numbers the query it starts, so that a replay gives every query the id it had.
Key: the command's id as ksqlDB forms it. Value: JSON with the statement and the properties it was sent with.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from confluent_kafka import KafkaError, Producer

from streamguard.ksql.runtime import clients
from streamguard.ksql.runtime.clients import KafkaTopics, KafkaUnavailable, Message


@dataclass(frozen=True)
class Command:
    """A statement of the command topic."""

    offset: int
    text: str
    properties: Mapping[str, Any]


class CommandLog:
    """Appends statements and reads them back."""

    def __init__(self, servers: str, topic: str) -> None:
        self.servers = servers
        self.topic = topic
        KafkaTopics(servers).create(topic, 1, {"cleanup.policy": "delete", "retention.ms": "-1"})
        self._producer: Producer = clients.producer(servers, reports=True)

    def replay(self) -> Iterator[Command]:
        """All statements, oldest first."""
        client = clients.consumer(self.servers, f"{self.topic}-replay", read_committed=True)
        try:
            for message in clients.read_to_end(client, self.topic):
                entry = orjson.loads(message.value())
                yield Command(message.offset(), entry["statement"], entry.get("streamsProperties") or {})
        finally:
            client.close()

    def append(self, key: str, text: str, properties: Mapping[str, Any]) -> int:
        """Write a statement; its offset. Returns once it is on disk, KafkaUnavailable if that cannot be had."""
        done = threading.Event()
        result: list[Any] = [None, None]

        def delivered(error: KafkaError | None, message: Message) -> None:
            result[:] = [error, None if error else message.offset()]
            done.set()

        value = orjson.dumps({"statement": text, "streamsProperties": dict(properties)})
        self._producer.produce(self.topic, value=value, key=key.encode(), partition=0, on_delivery=delivered)
        self._producer.flush(30)
        if not done.is_set() or result[0] is not None:
            why = result[0].str() if result[0] else "no acknowledgement within 30 s"
            raise KafkaUnavailable(f"Could not write the statement into the command topic: {why}")
        offset: int = result[1]
        return offset
