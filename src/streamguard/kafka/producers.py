"""Closing a producer of kafka-python 3."""

from __future__ import annotations

from contextlib import suppress

from kafka import KafkaProducer
from kafka.errors import KafkaError


def close_producer(producer: KafkaProducer, *, abandon: bool = False) -> None:
    """Close a producer. With `abandon`, records that are not acknowledged by now are given up.

    Without it the client waits for acknowledgements that may never arrive, raises, and tries again when the object is
    destroyed. It has no public method that drops records.
    """
    if abandon:
        producer._sender.force_close()
        producer._sender.join(timeout=20)
    with suppress(KafkaError):
        producer.close(timeout=5)
