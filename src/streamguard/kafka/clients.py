"""Clients of Kafka, and its errors for people: here an unavailable or refusing broker becomes a sentence.

No client is made elsewhere, so that all of them speak to Kafka as the settings say. Where a function takes a `Cluster` or
the plain addresses, the latter are spoken to without TLS and login.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from streamguard.config import Cluster, Settings, UserError, get_settings
from streamguard.kafka.diagnosis import diagnosis

Servers = Cluster | str


class KafkaUnavailable(UserError):
    """Kafka does not answer, or answered with an error."""


@contextmanager
def kafka_errors(servers: Servers | None = None) -> Iterator[None]:
    """Within it, an error of the Kafka client is raised as KafkaUnavailable, with the address that was asked.

    `servers`: who was asked; the Kafka of the settings by default.
    """
    try:
        yield
    except KafkaError as error:
        asked = as_cluster(get_settings().kafka if servers is None else servers)
        reason = diagnosis(asked) or f"{type(error).__name__}: {error}"
        raise KafkaUnavailable(f"Kafka at {asked} (KAFKA_BOOTSTRAP_SERVERS): {reason}") from None


@contextmanager
def kafka_admin(settings: Settings) -> Iterator[KafkaAdminClient]:
    """A client for topics, offsets and groups; raises KafkaError where no broker answers."""
    client = admin(settings.kafka, client_id="streamguard-deploy", bootstrap_timeout_ms=5_000)
    try:
        yield client
    finally:
        client.close()


def admin(servers: Servers, **options: Any) -> KafkaAdminClient:
    """kafka-python's admin client. `options` are its own; raises KafkaError where no broker answers."""
    return KafkaAdminClient(**python_options(servers), **options)


class MemberConsumer(KafkaConsumer):  # type: ignore[misc]
    """Finishes each join of its group.

    Where metadata of the topics come during a join kafka-python (3.0.12) joins once more, for what was assigned is out of date.
    If a poll ends in the middle of that, the next one takes the group for joined, since what was out of date no longer is: the
    member is never told its partitions, sends no heartbeat and fetches nothing.
    """

    def poll(self, *args: Any, **options: Any) -> dict[TopicPartition, list[Any]]:
        found: dict[TopicPartition, list[Any]] = super().poll(*args, **options)
        if self._coordinator.rejoining:
            self._coordinator.request_rejoin()
        return found


def consumer(servers: Servers, **options: Any) -> KafkaConsumer:
    """kafka-python's consumer. `options` are its own; raises KafkaError where no broker answers."""
    return MemberConsumer(**python_options(servers), **options)


def producer(servers: Servers, **options: Any) -> KafkaProducer:
    """kafka-python's producer. `options` are its own; raises KafkaError where no broker answers."""
    return KafkaProducer(**python_options(servers), **options)


def as_cluster(servers: Servers) -> Cluster:
    """A plain address as a cluster without TLS and login."""
    return servers if isinstance(servers, Cluster) else Cluster(servers)


def python_options(servers: Servers) -> dict[str, Any]:
    """How to reach a Kafka, in kafka-python's words."""
    cluster = as_cluster(servers)
    security = cluster.security
    options: dict[str, Any] = {
        "bootstrap_servers": [address.strip() for address in cluster.servers.split(",")],
        "security_protocol": security.protocol,
    }
    if security.tls:
        options |= {
            "ssl_cafile": _path(security.ca_file),
            "ssl_certfile": _path(security.certificate),
            "ssl_keyfile": _path(security.key),
            "ssl_check_hostname": security.check_hostname,
        }
    if security.login:
        options |= {
            "sasl_mechanism": security.mechanism,
            "sasl_plain_username": security.username,
            "sasl_plain_password": security.password,
        }
    return options


def librdkafka_options(servers: Servers) -> dict[str, str]:
    """How to reach a Kafka, in librdkafka's words: for confluent-kafka, and the clients of the SQL engine."""
    cluster = as_cluster(servers)
    security = cluster.security
    options: dict[str, str] = {"bootstrap.servers": cluster.servers, "security.protocol": security.protocol}
    if security.tls:
        files = {
            "ssl.ca.location": security.ca_file,
            "ssl.certificate.location": security.certificate,
            "ssl.key.location": security.key or security.certificate,
        }
        options |= {name: str(file) for name, file in files.items() if file is not None}
        options["ssl.endpoint.identification.algorithm"] = "https" if security.check_hostname else "none"
    if security.login:
        options["sasl.mechanism"] = str(security.mechanism)
        options |= {"sasl.username": security.username, "sasl.password": security.password}
    return options


def _path(file: Any) -> str | None:
    return None if file is None else str(file)
