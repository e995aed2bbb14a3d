"""Topics that are not touched: for trying a statement, and for replaying those that were carried out long ago."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.engine import TopicShape


class SandboxTopics:
    """The topics of a Kafka as they were when asked (metadata by name), with creations and deletions only noted down.

    `shape` asks what a topic was created with.
    """

    def __init__(self, there: Mapping[str, Any], shape: Callable[[str], TopicShape | None] = lambda name: None) -> None:
        self._shape = shape
        self._there = frozenset(there)
        self._partitions = {name: len(topic.partitions) for name, topic in there.items()}
        self._created: dict[str, tuple[int, Mapping[str, str]]] = {}

    def exists(self, name: str) -> bool:
        """Whether the topic is really there."""
        return name in self._there

    def partitions(self, name: str) -> int | None:
        return self._partitions.get(name)

    def shape(self, name: str) -> TopicShape | None:
        return self._shape(name) if name in self._partitions else None

    def create(self, name: str, partitions: int, config: Mapping[str, str]) -> None:
        self._partitions[name] = partitions
        self._created[name] = (partitions, config)

    def delete(self, name: str) -> None:
        self._partitions.pop(name, None)
        self._created.pop(name, None)

    def assume(self, statement: ast.CreateSource) -> None:
        """A source without PARTITIONS had its topic when it was created; that it is gone now does not undo the source."""
        topic = str(statement.properties.get("KAFKA_TOPIC", statement.name))
        if "PARTITIONS" not in statement.properties:
            self._partitions.setdefault(topic, 1)

    def missing(self, wanted: Iterable[str]) -> dict[str, tuple[int, Mapping[str, str]]]:
        """Those of the topics that a statement created and that are not there."""
        return {name: self._created[name] for name in wanted if name in self._created and name not in self._there}
