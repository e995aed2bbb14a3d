"""Settings: the list that SHOW PROPERTIES gives, and which names and values SET takes.

A property is known if ksqlDB has it (`properties.tsv`), or if it belongs to a Kafka client or to Kafka Streams
(`client_properties.txt`), bare or under one of their prefixes.
"""

from __future__ import annotations

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


def check_value(name: str, value: Any) -> None:
    """Refuse a value that the property cannot have."""
    if name.removeprefix(STREAMS_PREFIX).removeprefix("consumer.") == OFFSET_RESET and value not in (
        "earliest",
        "latest",
    ):
        raise BadRequest(
            f"Invalid value {value} for configuration {OFFSET_RESET}: String must be one of: latest, earliest"
        )


def check_all(properties: Mapping[str, Any]) -> None:
    """Check the properties that came with a request."""
    for name, value in properties.items():
        check_name(name)
        check_value(name, value)


def overridden(name: str, properties: Mapping[str, Any]) -> Any:
    """The session's value of a setting, under its full name or without `ksql.streams.`; None where it has none."""
    return properties.get(name, properties.get(name.removeprefix(STREAMS_PREFIX)))
