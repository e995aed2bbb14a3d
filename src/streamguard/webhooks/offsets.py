"""How far the topic of decisions was read for webhooks. The offsets are kept with the deliveries, not in a consumer group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kafka import TopicPartition
from kafka.errors import KafkaError
from sqlalchemy import Connection, text

from streamguard.config import Settings
from streamguard.database.locks import Lock
from streamguard.database.rows import columns_of, select_as
from streamguard.kafka.clients import KafkaUnavailable, kafka_admin
from streamguard.kafka.lags import ends_of, lags


@dataclass(frozen=True)
class _Place:
    partition_no: int
    next_offset: int


_PLACES = f"SELECT {columns_of(_Place)} FROM webhook_offsets WHERE topic = :topic ORDER BY partition_no FOR UPDATE"
_MOVE = """
INSERT INTO webhook_offsets (topic, partition_no, next_offset, left_out) VALUES (:topic, :partition, :next, :left_out)
ON CONFLICT (topic, partition_no) DO UPDATE SET next_offset = excluded.next_offset,
    left_out = webhook_offsets.left_out + excluded.left_out, updated_at = clock_timestamp()
"""


def lock(connection: Connection) -> None:
    """Nobody else adds or removes a webhook until this database transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": Lock.WEBHOOKS})


def begin(connection: Connection, settings: Settings) -> None:
    """Read from where the topic ends now. Raises KafkaUnavailable."""
    topic = settings.decisions_topic
    try:
        with kafka_admin(settings) as client:
            known = ends_of(client, topic) if topic in client.list_topics() else {}
            # Not behind what is not committed yet: a reader of committed records could not be there.
            found = lags(client, {TopicPartition(topic, partition): 0 for partition in known})
    except (KafkaError, OSError) as error:
        raise KafkaUnavailable(
            f"Kafka at {settings.kafka_bootstrap_servers} does not answer ({type(error).__name__}), which has to say where the"
            f" topic {topic} ends: a webhook gets what is decided after it; add it when Kafka is back"
        ) from None
    forget(connection)
    move(connection, topic, {lag.partition.partition: lag.end for lag in found})


def forget(connection: Connection) -> None:
    """There is no webhook any more: nothing is read."""
    connection.execute(text("DELETE FROM webhook_offsets"))


def places(connection: Connection, topic: str) -> dict[int, int]:
    """The next offset to read of each partition, locked; a partition that is missing was not there and is read whole."""
    return {p.partition_no: p.next_offset for p in select_as(connection, _Place, text(_PLACES), {"topic": topic})}


def move(connection: Connection, topic: str, to: Mapping[int, int], left_out: Mapping[int, int] | None = None) -> None:
    """Keep how far was read; `left_out` are offsets in between that could not be."""
    rows = [
        {"topic": topic, "partition": partition, "next": offset, "left_out": (left_out or {}).get(partition, 0)}
        for partition, offset in sorted(to.items())
    ]
    if rows:
        connection.execute(text(_MOVE), rows)
