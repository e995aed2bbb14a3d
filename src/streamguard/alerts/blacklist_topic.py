"""The compacted topic `blacklist`, for the SQL rule that joins with it (`ksqldb/blacklist.sql`).

It carries values as transactions do, also where the table keeps tokens (STREAMGUARD_PII_*): SQL reads transactions before
they are protected. So it is written here, with the clear value at hand, and not through the outbox.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from streamguard.alerts.lists import Entry
from streamguard.config import Settings
from streamguard.kafka import clients
from streamguard.kafka.topics import BLACKLIST_TOPIC, ensure_topics


def record_of(entry: Entry) -> tuple[str, bytes]:
    """An entry as key (KIND:VALUE) and value of its record."""
    expires_ms = None if entry.expires_at is None else round(entry.expires_at.timestamp() * 1000)
    return f"{entry.kind}:{entry.value}", orjson.dumps({"REASON": entry.reason, "EXPIRES_AT": expires_ms})


def publish(settings: Settings, records: Sequence[tuple[str, bytes | None]]) -> None:
    """Write records and wait until they are acknowledged; without a value one removes its entry. Raises KafkaError."""
    ensure_topics(settings)
    producer = clients.producer(
        settings.kafka,
        client_id="streamguard-blacklist",
        acks="all",
        enable_idempotence=True,
        bootstrap_timeout_ms=2_000,
    )
    try:
        for sent in [producer.send(BLACKLIST_TOPIC, key=key.encode(), value=value) for key, value in records]:
            sent.get(timeout=10)
    finally:
        producer.close(timeout=2)
