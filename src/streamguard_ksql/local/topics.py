"""The topics of a local engine: how many partitions each has, and where its next records go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from streamguard_ksql import ast
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.hashing import partition_for
from streamguard_ksql.operators.record import InputRecord, OutputRecord

KNOWN_KEYS = 100_000
"""Keys whose partition is remembered: hashing one costs as much as reading its record."""


class LocalTopics:
    """Topics without records: names, partitions and the next offsets. See `streamguard_ksql.engine.Topics`."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._counts = dict(counts)
        self.ends: dict[tuple[str, int], int] = {}
        """The next offset of each partition that has had records."""
        self._partition_for = lru_cache(KNOWN_KEYS)(partition_for)

    def partitions(self, name: str) -> int | None:
        return self._counts.get(name)

    def shape(self, name: str) -> None:
        """Nobody created them."""

    def create(self, name: str, partitions: int, config: Mapping[str, str]) -> None:
        self._counts[name] = partitions

    def delete(self, name: str) -> None:
        self._counts.pop(name, None)
        self.ends = {place: end for place, end in self.ends.items() if place[0] != name}

    def assume(self, statement: ast.CreateSource, partitions: int) -> None:
        """A source that does not say how many PARTITIONS its topic has is one over a topic that is there."""
        if "PARTITIONS" not in statement.properties:
            self._counts.setdefault(str(statement.properties.get("KAFKA_TOPIC", statement.name)), partitions)

    def has_records(self, name: str) -> bool:
        return any(topic == name for topic, _ in self.ends)

    def stored(self, written: Iterable[OutputRecord]) -> list[InputRecord]:
        """Records with the partition that a producer would choose for their key, 0 without one, and an offset."""
        found = []
        for topic, key, value, time, headers in written:
            count = self._counts.get(topic, 1)
            partition = 0 if count == 1 or key is None else self._partition_for(key, count)
            found.append(InputRecord(topic, partition, self.place(topic, partition), key, value, time, headers))
        return found

    def place(self, topic: str, partition: int) -> int:
        """The offset of one more record of a partition."""
        offset = self.ends.get((topic, partition), 0)
        self.ends[topic, partition] = offset + 1
        return offset

    def received(self, topic: str, records: Iterable[InputRecord]) -> None:
        """Note records from outside; KsqlError for a partition that their topic does not have."""
        count, ends = self._counts.get(topic), self.ends
        for record in records:
            partition, offset = record[1], record[2]
            if count is not None and partition >= count:
                raise KsqlError(
                    f"A record of partition {partition} was fed, but topic '{topic}' has {count}: "
                    "give the partitions of the topic when the engine is made."
                )
            ends[topic, partition] = offset + 1
