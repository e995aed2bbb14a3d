"""Writing one record by hand."""

from __future__ import annotations

from collections.abc import Sequence

from streamguard.kafka import clients
from streamguard.kafka.clients import Servers
from streamguard.kafka.messages import NoSuchTopic
from streamguard.kafka.producers import close_producer
from streamguard.kafka.topics import MAX_RECORD_BYTES

_ACKNOWLEDGED_WITHIN_S = 10.0


def send_record(
    servers: Servers,
    topic: str,
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes | None]] = (),
    partition: int | None = None,
) -> tuple[int, int]:
    """Write a record to a topic that exists; returns its partition and offset. `partition` None: by the key.

    Raises NoSuchTopic, kafka.errors.KafkaError.
    """
    _check_place(servers, topic, partition)
    producer = clients.producer(
        servers,
        client_id="streamguard-by-hand",
        acks="all",
        allow_auto_create_topics=False,
        max_request_size=MAX_RECORD_BYTES + 1024 * 1024,
        max_block_ms=int(_ACKNOWLEDGED_WITHIN_S * 1000),
        bootstrap_timeout_ms=5_000,
    )
    done = False
    try:
        sent = producer.send(topic, key=key, value=value, headers=list(headers), partition=partition)
        found = sent.get(timeout=_ACKNOWLEDGED_WITHIN_S)
        done = True
        return int(found.partition), int(found.offset)
    finally:
        close_producer(producer, abandon=not done)


def _check_place(servers: Servers, topic: str, partition: int | None) -> None:
    """A producer waits for a topic that there is not."""
    client = clients.admin(servers, bootstrap_timeout_ms=5_000)
    try:
        [described] = client.describe_topics([topic])
    finally:
        client.close()
    if described["error_code"]:
        raise NoSuchTopic(f"there is no topic {topic}")
    if partition is not None and partition not in {found["partition_index"] for found in described["partitions"]}:
        raise NoSuchTopic(f"there is no topic {topic} with a partition {partition}")
