"""A ksqlDB in a box: the engine with its topics in memory, driven record by record.

Every record goes to all queries that read its topic, and what they write goes on to the queries that read that, until
nothing moves: then comes the next record. One partition, no threads, no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streamguard.ksql import ast
from streamguard.ksql.engine import Engine, PersistentQuery
from streamguard.ksql.inserts import insert_values_record
from streamguard.ksql.operators.base import ProcessingError, Runtime
from streamguard.ksql.operators.record import InputRecord, OutputRecord
from streamguard.ksql.operators.state import Stores, decode, encode
from streamguard.ksql.parser import parse_statements
from streamguard.ksql.topology import Topology


class MemoryTopics:
    """Topics that are there as soon as somebody names them, with one partition."""

    def __init__(self) -> None:
        self.offsets: dict[str, int] = {}
        self.config: dict[str, Mapping[str, str]] = {}

    def partitions(self, name: str) -> int | None:
        return 1

    def create(self, name: str, partitions: int, config: Mapping[str, str]) -> None:
        self.config[name] = config

    def delete(self, name: str) -> None:
        self.offsets.pop(name, None)


@dataclass
class Harness:
    """An engine with its queries running in this process; `written` has all that queries wrote, in order."""

    properties: dict[str, Any] = field(default_factory=dict)
    topics: MemoryTopics = field(default_factory=MemoryTopics)
    written: list[OutputRecord] = field(default_factory=list)
    errors: list[ProcessingError] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = Engine(self.topics, self.properties)
        self.running: dict[str, tuple[PersistentQuery, Topology]] = {}
        self._pending: deque[OutputRecord] = deque()

    def run_script(self, text: str) -> None:
        """Execute the statements of a script in order; KsqlError where one is refused."""
        for statement in parse_statements(text):
            self.execute(statement)

    def execute(self, statement: ast.Statement) -> None:
        match statement:
            case ast.SetProperty(name, value):
                self.properties[name] = value
            case ast.UnsetProperty(name):
                self.properties.pop(name, None)
            case ast.InsertValues():
                record = insert_values_record(statement, self.engine.catalog, self.properties, clock=lambda: 0)
                self.feed(record)
            case _:
                outcome = self.engine.execute(statement)
                for query_id in outcome.terminated:
                    self.running.pop(query_id, None)
                if outcome.query is not None:
                    self._start(outcome.query)

    def _start(self, query: PersistentQuery, stores: Stores | None = None) -> None:
        runtime = Runtime(query.query_id, self._write, self.errors.append, query.config, stores or Stores())
        self.running[query.query_id] = (query, Topology(query.plan, runtime))

    def _write(self, record: OutputRecord) -> None:
        self.written.append(record)
        self._pending.append(record)

    def feed(self, record: OutputRecord) -> None:
        """A record from outside, and all that follows from it."""
        self._pending.append(record)
        while self._pending:
            self._deliver(self._pending.popleft())

    def _deliver(self, record: OutputRecord) -> None:
        offset = self.topics.offsets.get(record.topic, 0)
        self.topics.offsets[record.topic] = offset + 1
        message = InputRecord(record.topic, 0, offset, record.key, record.value, record.time, record.headers)
        for _, topology in list(self.running.values()):
            if record.topic in topology.sources:
                topology.feed(0, [message])

    def crash(self) -> None:
        """Kill every query and start it anew from what its changelog has: the last committed value of every key."""
        for query_id, (query, topology) in list(self.running.items()):
            changelog = self._changelog(query_id)
            for name, partition, key, value in topology.runtime.stores.changes():
                changelog[(name, partition, encode(key))] = None if value is None else encode(value)
            self._start(query)
            restored = self.running[query_id][1].runtime.stores
            for (name, partition, key), data in changelog.items():
                if data is not None:
                    restored.restore(name, partition, decode(key), decode(data))

    def _changelog(self, query_id: str) -> dict[tuple[str, int, bytes], bytes | None]:
        logs: dict[str, dict[tuple[str, int, bytes], bytes | None]] = self.__dict__.setdefault("_changelogs", {})
        return logs.setdefault(query_id, {})


Hook = Callable[[Harness], None]
"""Called after each input: the crash tests kill and restore there."""
