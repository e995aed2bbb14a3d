"""How a query reads, by its plan and the settings of Kafka Streams; without a Kafka, for the local engine too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamguard_ksql.plan import Node, sources


def streams_property(config: Mapping[str, Any], name: str, default: Any) -> Any:
    """A Kafka Streams setting: `ksql.streams.NAME` or plain `NAME`."""
    return config.get(f"ksql.streams.{name}", config.get(name, default))


def from_beginning(plan: Node, config: Mapping[str, Any]) -> set[str]:
    """The topics that a new query reads from their beginning: those of its tables, and of its streams only where
    auto.offset.reset says so. A table read from its end would lack whatever changed before, for ever."""
    earliest = str(streams_property(config, "auto.offset.reset", "latest")) == "earliest"
    return {node.source.topic for node in sources(plan) if earliest or node.source.is_table}


def stream_of(plan: Node) -> str | None:
    """The topic of the stream that a plan joins with tables, if there is one: it has the records, the tables have few."""
    found = sources(plan)
    streams = {node.source.topic for node in found if not node.source.is_table}
    tables = {node.source.topic for node in found if node.source.is_table}
    return next(iter(streams)) if len(streams) == 1 and not streams & tables else None
