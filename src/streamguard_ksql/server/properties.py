"""Settings: the list that SHOW PROPERTIES gives, and which names and values SET takes.

A property is known if ksqlDB has it (`properties.tsv`), or if it belongs to a Kafka client or to Kafka Streams
(`client_properties.txt`), bare or under one of their prefixes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from streamguard_ksql import limits
from streamguard_ksql.errors import BadRequest, KsqlError

STREAMS_PREFIX = "ksql.streams."
CLIENT_PREFIXES = (
    "main.consumer.",
    "restore.consumer.",
    "global.consumer.",
    "consumer.",
    "producer.",
    "admin.",
    "topic.",
)
OFFSET_RESET = "auto.offset.reset"
FREE_PREFIXES = ("ksql.functions.", "ksql.logging.processing.")


@dataclass(frozen=True)
class Setting:
    """A line of SHOW PROPERTIES. level is SERVER or QUERY."""

    name: str
    default: str | None
    editable: bool
    level: str


@cache
def settings() -> Mapping[str, Setting]:
    """All settings by name."""
    found = {}
    for line in _lines("properties.tsv"):
        name, default, editable, level = line.split("\t")
        found[name] = Setting(name, None if default == "null" else default, editable == "yes", level)
    return found


@cache
def client_names() -> frozenset[str]:
    """Names of the settings of Kafka's consumers, producers and of Kafka Streams."""
    return frozenset(name for line in _lines("client_properties.txt") for name in line.split())


def _lines(file: str) -> list[str]:
    text = files(__package__).joinpath(file).read_text(encoding="utf-8")
    return [line for line in text.split("\n") if line and not line.startswith("#")]


def is_known(name: str) -> bool:
    """Whether a name is a setting of ksqlDB, of Kafka Streams or of a Kafka client."""
    if name in settings() or name.startswith(FREE_PREFIXES):
        return True
    bare = name.removeprefix(STREAMS_PREFIX)
    for prefix in CLIENT_PREFIXES:
        if bare.startswith(prefix):
            return True
    return bare in client_names()


def check_name(name: str) -> None:
    """Refuse a property that does not exist, or that a session may not change."""
    if not is_known(name) and name not in limits.NAMES:
        raise KsqlError(f"Not recognizable as ksql, streams, consumer, or producer property: '{name}'")
    setting = settings().get(name)
    if (
        name == "ksql.service.id"
        or name in limits.NAMES
        or (setting is not None and not setting.editable and name in SERVER_ONLY)
    ):
        raise BadRequest(
            "One or more properties overrides set locally are prohibited by the KSQL server denylist "
            f"(use UNSET to reset their default value): [{name}]"
        )


SERVER_ONLY = frozenset(["ksql.streams.bootstrap.servers", "ksql.streams.state.dir", "ksql.streams.application.server"])
"""What would move the server under a session: never a session's to say. Neither are the limits of queries."""


WHOLE_NUMBERS = frozenset(
    """
    num.stream.threads num.standby.replicas replication.factor max.poll.records fetch.min.bytes fetch.max.bytes
    fetch.max.wait.ms max.partition.fetch.bytes max.poll.interval.ms session.timeout.ms heartbeat.interval.ms
    request.timeout.ms default.api.timeout.ms batch.size retries buffered.records.per.partition
    max.in.flight.requests.per.connection max.request.size delivery.timeout.ms receive.buffer.bytes send.buffer.bytes
    auto.commit.interval.ms transaction.timeout.ms max.warmup.replicas metrics.num.samples
    """.split()
)
LONG_NUMBERS = frozenset(
    """
    commit.interval.ms cache.max.bytes.buffering statestore.cache.max.bytes max.task.idle.ms poll.ms linger.ms
    buffer.memory max.block.ms metadata.max.age.ms retry.backoff.ms reconnect.backoff.ms reconnect.backoff.max.ms
    state.cleanup.delay.ms connections.max.idle.ms task.timeout.ms acceptable.recovery.lag
    """.split()
)


def check_value(name: str, value: Any) -> None:
    """Refuse a value that the property cannot have."""
    bare = name.removeprefix(STREAMS_PREFIX)
    for prefix in CLIENT_PREFIXES:
        bare = bare.removeprefix(prefix)
    if bare == OFFSET_RESET and value == "none":
        raise BadRequest(f"{OFFSET_RESET} 'none' is not supported here: say earliest or latest.")
    if bare == OFFSET_RESET and value not in ("earliest", "latest"):
        raise _bad_value(name, value, "String must be one of: latest, earliest, none")
    for names, kind in ((WHOLE_NUMBERS, "INT"), (LONG_NUMBERS, "LONG")):
        if bare in names and not _is_whole(value):
            raise _bad_value(name, value, f"Not a number of type {kind}")


def _is_whole(value: Any) -> bool:
    return re.fullmatch(r"\s*[+-]?\d{1,19}\s*", str(value)) is not None


def _bad_value(name: str, value: Any, why: str) -> BadRequest:
    return BadRequest(f"Invalid value {value} for configuration {name}: {why}")


def check_all(properties: Mapping[str, Any]) -> None:
    """Check the properties that came with a request."""
    for name, value in properties.items():
        check_name(name)
        check_value(name, value)


def overridden(name: str, properties: Mapping[str, Any]) -> Any:
    """The session's value of a setting, under its full name or without `ksql.streams.`; None where it has none."""
    return properties.get(name, properties.get(name.removeprefix(STREAMS_PREFIX)))
