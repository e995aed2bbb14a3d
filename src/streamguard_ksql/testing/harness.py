"""A ksqlDB in a box: the engine with its topics in memory, driven record by record.

As ksqlDB's own test runner does it, queries run one after the other, in the order of their statements: each is fed
every input of its topics, then what earlier queries wrote to them. One partition, no threads, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.ddl.normal import DEFAULT_RETENTION_MS
from streamguard_ksql.engine import Engine, PersistentQuery, TopicShape
from streamguard_ksql.errors import FatalRecordError, KsqlError
from streamguard_ksql.inserts import insert_values_record
from streamguard_ksql.operators.base import ProcessingError, Runtime
from streamguard_ksql.operators.record import InputRecord, OutputRecord
from streamguard_ksql.operators.state import Stores, decode, decode_key, encode, encode_key
from streamguard_ksql.parser import parse_statements, split_statements
from streamguard_ksql.statements.session import check_setting
from streamguard_ksql.topology import Topology
from streamguard_ksql.variables import substitute

_TOPIC_NAME = re.compile(r"(?!\.\.?$)[A-Za-z0-9._-]{1,249}")
"""What Kafka takes for the name of a topic."""


DEFAULT_PARTITIONS = 4
"""Of a topic of which nobody says it, as in ksqlDB's own runner; records are all in the first."""


class MemoryTopics:
    """Topics that exist as soon as they are named; from the first source on with the partitions that it, or the case, gave them.

    All records are in partition 0: how many there are matters for what is refused.
    """

    def __init__(self) -> None:
        self.offsets: dict[str, int] = {}
        self.config: dict[str, Mapping[str, str]] = {}
        self.made: dict[str, TopicShape] = {}
        self.wanted: dict[str, int] = {}
        """What the statement that is being executed says of its topic."""

    def partitions(self, name: str) -> int | None:
        shape = self.made.get(name)
        return self.wanted.get(name, DEFAULT_PARTITIONS) if shape is None else shape.partitions

    def shape(self, name: str) -> TopicShape | None:
        return self.made.get(name)

    def declare(self, name: str, partitions: int) -> None:
        """Say how many partitions a topic has. Raises KsqlError for what is no name of a topic."""
        if not _TOPIC_NAME.fullmatch(name):
            raise KsqlError(f"Topic name is invalid: '{name}' is not of up to 249 letters, digits, '.', '_' and '-'")
        self.make(name, partitions)

    def make(self, name: str, partitions: int) -> None:
        self.made.setdefault(name, TopicShape(partitions, 1, DEFAULT_RETENTION_MS))

    def create(self, name: str, partitions: int, config: Mapping[str, str]) -> None:
        self.config[name] = config

    def delete(self, name: str) -> None:
        self.offsets.pop(name, None)
        self.made.pop(name, None)


Hook = Callable[["Harness"], None]
"""Called after each record that a query was fed: the crash tests kill and restore there."""


@dataclass
class Harness:
    """An engine with its queries running in this process; `written` has all that queries wrote, in order."""

    properties: dict[str, Any] = field(default_factory=dict)
    topics: MemoryTopics = field(default_factory=MemoryTopics)
    written: list[OutputRecord] = field(default_factory=list)
    errors: list[ProcessingError] = field(default_factory=list)
    failures: list[FatalRecordError] = field(default_factory=list)
    """Why queries have ended."""
    variables: dict[str, str] = field(default_factory=dict)
    """By name in lower case what DEFINE gave."""

    def __post_init__(self) -> None:
        self.engine = Engine(self.topics, self.properties)
        self.running: dict[str, tuple[PersistentQuery, Topology]] = {}
        self.inputs: list[InputRecord] = []
        self.written_messages: list[InputRecord] = []
        self._changelogs: dict[str, dict[tuple[str, int, bytes], bytes | None]] = {}

    def run_script(self, text: str) -> None:
        """Execute the statements of a script in order; KsqlError where one is refused.

        `${name}` stands for what DEFINE gave it above, as in ksqlDB's shell.
        """
        for part, place in split_statements(text):
            # As many lines above it as in the script: errors then have the script's lines and columns.
            placed = "\n" * (place.line - 1) + " " * (place.column - 1) + part
            for statement in parse_statements(substitute(placed, self.variables)):
                self.execute(statement)

    def execute(self, statement: ast.Statement) -> None:
        match statement:
            case ast.Define(name, value):
                self.variables[name.lower()] = value
            case ast.Undefine(name):
                self.variables.pop(name.lower(), None)
            case ast.SetProperty(name, value):
                check_setting(name, value)
                self.properties[name] = value
            case ast.UnsetProperty(name):
                self.properties.pop(name, None)
            case ast.InsertValues():
                record = insert_values_record(statement, self.engine.catalog, self.properties, clock=lambda: 0)
                self.feed(record)
            case _:
                outcome = self.engine.execute(self._with_topic(statement))
                if outcome.source is not None:
                    self.topics.make(outcome.source.topic, outcome.source.partitions or DEFAULT_PARTITIONS)
                for query_id in outcome.terminated:
                    self.running.pop(query_id, None)
                if outcome.query is not None:
                    self._start(outcome.query)

    def _with_topic(self, statement: ast.Statement) -> ast.Statement:
        """The statement; its topic, if it is new, will have the partitions that it says."""
        self.topics.wanted = {}
        if isinstance(statement, ast.CreateSource | ast.CreateAsSelect):
            partitions = str(statement.properties.get("PARTITIONS", ""))
            if partitions.isdigit():
                topic = str(statement.properties.get("KAFKA_TOPIC", statement.name))
                self.topics.wanted[topic] = int(partitions)
        return statement

    def _start(self, query: PersistentQuery, stores: Stores | None = None) -> None:
        runtime = Runtime(query.query_id, self._write, self.errors.append, query.config, stores or Stores())
        self.running[query.query_id] = (query, Topology(query.plan, runtime))

    def feed(self, record: OutputRecord) -> None:
        """A record from outside: kept until `settle`."""
        self.inputs.append(self._stored(record))

    def settle(self, after_each: Hook | None = None) -> None:
        """Run every query over what there is to read."""
        for query_id in list(self.running):
            topics = set(self.running[query_id][1].sources)
            given = [m for m in self.inputs if m.topic in topics]
            derived = [m for m in self.written_messages if m.topic in topics]
            for message in [*given, *derived]:
                try:
                    self.running[query_id][1].feed(0, [message])
                except FatalRecordError as error:
                    del self.running[query_id]
                    self.failures.append(error)
                    break
                if after_each is not None:
                    after_each(self)

    def _write(self, record: OutputRecord) -> None:
        self.written.append(record)
        self.written_messages.append(self._stored(record))

    def _stored(self, record: OutputRecord) -> InputRecord:
        offset = self.topics.offsets.get(record.topic, 0)
        self.topics.offsets[record.topic] = offset + 1
        return InputRecord(record.topic, 0, offset, record.key, record.value, record.time, record.headers)

    def crash(self) -> None:
        """Kill every query and start it again from what its changelog has: the last committed value of every key."""
        for query_id, (query, topology) in list(self.running.items()):
            changelog = self._changelogs.setdefault(query_id, {})
            for name, partition, key, value in topology.runtime.stores.changes():
                changelog[(name, partition, encode_key(key))] = None if value is None else encode(value)
            self._start(query)
            restored = self.running[query_id][1].runtime.stores
            for (name, partition, key), data in changelog.items():
                if data is not None:
                    restored.restore(name, partition, decode_key(key), decode(data))
