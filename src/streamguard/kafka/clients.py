"""Clients of Kafka for commands, and its errors for people: here an unavailable or refusing broker becomes a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from streamguard.config import Settings, UserError, get_settings


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


@contextmanager
def kafka_admin(settings: Settings) -> Iterator[KafkaAdminClient]:
    """A client for topics, offsets and groups; raises KafkaError where no broker answers."""
    client = KafkaAdminClient(
        bootstrap_servers=settings.kafka_bootstrap_servers.split(","),
        client_id="streamguard-deploy",
        bootstrap_timeout_ms=5_000,
    )
    try:
        yield client
    finally:
        client.close()
