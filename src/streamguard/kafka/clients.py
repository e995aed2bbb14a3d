"""Kafka's errors for people: the one place where an unavailable or refusing broker becomes a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kafka.errors import KafkaError

from streamguard.config import UserError, get_settings


class KafkaUnavailable(UserError):
    """Kafka does not answer, or answered with an error."""


@contextmanager
def kafka_errors() -> Iterator[None]:
    """Within it, an error of the Kafka client is raised as KafkaUnavailable, with the address that was asked."""
    try:
        yield
    except KafkaError as error:
        address = get_settings().kafka_bootstrap_servers
        raise KafkaUnavailable(
            f"Kafka at {address} (KAFKA_BOOTSTRAP_SERVERS): {type(error).__name__}: {error}"
        ) from None
