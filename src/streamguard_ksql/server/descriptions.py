"""The JSON of DESCRIBE, EXPLAIN and SHOW ... EXTENDED: sources and queries with all that is known of them."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streamguard_ksql.catalog import DataSource
from streamguard_ksql.engine import Engine, PersistentQuery
from streamguard_ksql.operators.base import Skip
from streamguard_ksql.plan import Node, explain, sources
from streamguard_ksql.runtime.api import PartitionOffsets, QueryStats
from streamguard_ksql.schema import Column
from streamguard_ksql.server.entities import Entity, entity, fields_of

DEPRECATED = (
    "The statistics field is deprecated and will be removed in a future version of ksql. Please update your client to "
    "the latest version and use statisticsMap instead.\n"
)


@dataclass(frozen=True)
class Describer:
    """Describes what an engine has; the caller has its lock. `stats` gives a query's figures, `now_ms` is the clock."""

    engine: Engine
    stats: Callable[[str], QueryStats]
    host: str
    now_ms: int

    # --- sources ------------------------------------------------------------------------------------------------------

    def source(self, source: DataSource, *, extended: bool) -> Entity:
        """A sourceDescription."""
        read = [q for q in self.engine.queries.values() if source.name in (s.name for s in q.sources)]
        written = [q for q in self.engine.queries.values() if source.name in (s.name for s in q.sinks)]
        figures = _Figures.of([self.stats(q.query_id) for q in read], [self.stats(q.query_id) for q in written])
        return {
            "name": source.name,
            "windowType": None if source.window is None else source.window.kind,
            "readQueries": [self.running(q) for q in read],
            "writeQueries": [self.running(q) for q in written],
            "fields": fields_of(source.schema.key, source.schema.value),
            "type": source.kind,
            "timestamp": "" if source.timestamp is None else source.timestamp.name,
            "statistics": figures.text() if extended else "",
            "errorStats": figures.error_text() if extended else "",
            "extended": extended,
            "keyFormat": source.key_format.name,
            "valueFormat": source.value_format.name,
            "topic": source.topic,
            "partitions": self.engine.topics.partitions(source.topic) or source.partitions or 0,
            "replication": 1,
            "statement": source.sql,
            "queryOffsetSummaries": [self._offsets(q) for q in written] if extended else [],
            "sourceConstraints": self.engine.catalog.built_on(source.name),
            "clusterStatistics": self._statistics(figures.values(), figures.last_message_ms),
            "clusterErrorStats": self._statistics(figures.errors(), figures.last_message_ms),
        }

    def _statistics(self, values: Iterable[tuple[str, float]], time_ms: int | None) -> list[Entity]:
        time_ms = self.now_ms if time_ms is None else time_ms
        return [{"name": name, "host": self.host, "value": value, "timestamp": time_ms} for name, value in values]

    def _offsets(self, query: PersistentQuery) -> Entity:
        stats = self.stats(query.query_id)
        topics = [
            {"kafkaTopic": topic, "offsets": [_summary(p) for p in stats.offsets[topic]]} for topic in stats.offsets
        ]
        return {"groupId": stats.group_id, "topicSummaries": topics}

    # --- queries ------------------------------------------------------------------------------------------------------

    def running(self, query: PersistentQuery) -> Entity:
        """A line of SHOW QUERIES."""
        state = self.stats(query.query_id).state
        return {
            "queryString": query.sql,
            "sinks": [s.name for s in query.sinks],
            "sinkKafkaTopics": [s.topic for s in query.sinks],
            "id": query.query_id,
            "statusCount": {state: 1},
            "queryType": "PERSISTENT",
            "state": state,
        }

    def failures(self, queries: Iterable[PersistentQuery]) -> list[Entity]:
        """A warning for each query that has ended, or that had to do without records that Kafka has lost."""
        found = []
        for query in queries:
            stats = self.stats(query.query_id)
            if stats.failure is not None:
                found.append(f"Query {query.query_id} has ended: {stats.failure}")
            if lost := stats.skipped.get(Skip.CORRUPT):
                records = "1 record" if lost == 1 else f"{lost} records"
                where = "of corrupt batches; the processing log names them."
                found.append(f"Query {query.query_id} has left out {records} {where}")
        return [{"message": message} for message in found]

    def query(self, query: PersistentQuery) -> Entity:
        """A queryDescription of a persistent query."""
        stats = self.stats(query.query_id)
        overrides = {k: v for k, v in query.config.items() if self.engine.config.get(k) != v}
        schema = query.plan.schema
        return {
            "id": query.query_id,
            "statementText": query.sql,
            "windowType": None if query.plan.window is None else query.plan.window.kind,
            "fields": fields_of(schema.key, schema.value),
            "sources": [s.name for s in query.sources],
            "sinks": [s.name for s in query.sinks],
            "topology": topology_text(query.plan),
            "executionPlan": plan_text(query.plan, query.query_id),
            "overriddenProperties": overrides,
            "ksqlHostQueryStatus": {self.host: stats.state},
            "queryType": "PERSISTENT",
            "queryErrors": _query_errors(stats),
            "tasksMetadata": tasks(stats.offsets),
            "consumerGroupId": stats.group_id,
            "state": stats.state,
        }

    def figures(self, query: PersistentQuery) -> Entity:
        """What a query has done since the server started, for `GET /queries`. `skipped`: records left out, by reason (see
        `operators.base.Skip`); `lag`: records that it has still to read, null while it is not reading."""
        stats = self.stats(query.query_id)
        places = [place for places in stats.offsets.values() for place in places]
        return {
            "id": query.query_id,
            "state": stats.state,
            "failure": stats.failure,
            "failedAt": stats.failed_ms,
            "consumed": stats.consumed,
            "produced": stats.produced,
            "errors": stats.errors,
            "skipped": dict(stats.skipped),
            "lastMessageAt": stats.last_message_ms,
            "lag": sum(p.log_end - p.committed for p in places) if places else None,
        }


def push_query(query_id: str, text: str) -> Entity:
    """The line of SHOW QUERIES for a push query that is open."""
    return {
        "queryString": text,
        "sinks": [],
        "sinkKafkaTopics": [],
        "id": query_id,
        "statusCount": {"RUNNING": 1},
        "queryType": "PUSH",
        "state": "RUNNING",
    }


def explained(
    query_id: str, text: str, node: Node, columns: Sequence[Column], properties: Mapping[str, Any], group_id: str
) -> Entity:
    """A queryDescription of a query that does not run."""
    return {
        "id": query_id,
        "statementText": text,
        "windowType": None if node.window is None else node.window.kind,
        "fields": fields_of(node.schema.key, columns),
        "sources": [s.source.name for s in sources(node)],
        "sinks": [],
        "topology": topology_text(node),
        "executionPlan": plan_text(node, query_id),
        "overriddenProperties": dict(properties),
        "ksqlHostQueryStatus": {},
        "queryType": "PUSH",
        "queryErrors": [],
        "tasksMetadata": [],
        "consumerGroupId": group_id,
        "state": None,
    }


def described_source(text: str, description: Entity) -> Entity:
    return entity("sourceDescription", text, sourceDescription=description)


def described_sources(text: str, descriptions: Sequence[Entity]) -> Entity:
    return entity("source_descriptions", text, sourceDescriptions=list(descriptions))


def described_query(text: str, description: Entity) -> Entity:
    return entity("queryDescription", text, queryDescription=description)


def described_queries(text: str, descriptions: Sequence[Entity]) -> Entity:
    return entity("query_descriptions", text, queryDescriptions=list(descriptions))


# --- plans ------------------------------------------------------------------------------------------------------------


def plan_text(node: Node, query_id: str) -> str:
    """The plan as EXPLAIN shows it: a step per line, what feeds a step below it and further in, by tabs."""
    lines = []
    for line in explain(node).split("\n"):
        depth = (len(line) - len(line.lstrip(" ")) - 1) // 2
        lines.append("\t\t" * depth + f"{line.lstrip(' ') if depth else line} | Logger: {query_id}")
    return "\n".join(" " + line if line[:1] == ">" else line for line in lines) + "\n"


def topology_text(node: Node) -> str:
    """How a plan is run: the topics that are read, the operators in order, the topic that is written."""
    lines = ["Topologies:", "   Sub-topology: 0"]
    for depth, step in enumerate(reversed(explain(node).split("\n"))):
        lines.append(f"    {'Source' if 'SOURCE' in step else 'Processor'}: {depth:02} {step.strip(' >')}")
    return "\n".join(lines) + "\n"


def tasks(offsets: Mapping[str, Sequence[PartitionOffsets]]) -> list[Entity]:
    """A task per partition number, with its position in each topic that it reads."""
    by_partition: dict[int, list[Entity]] = {}
    for topic, partitions in offsets.items():
        for place in partitions:
            known = {
                "topicPartitionEntity": {"topic": topic, "partition": place.partition},
                "endOffset": place.log_end - 1,
                "committedOffset": place.committed if place.log_end else -1,
            }
            by_partition.setdefault(place.partition, []).append(known)
    return [
        {"taskId": f"0_{partition}", "topicOffsets": places, "timeCurrentIdlingStarted": None}
        for partition, places in sorted(by_partition.items())
    ]


def _summary(place: PartitionOffsets) -> Entity:
    return {
        "partition": place.partition,
        "logStartOffset": place.log_start,
        "logEndOffset": place.log_end,
        "consumerOffset": place.committed,
    }


# --- figures ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Figures:
    """What went through a source's topic, as the queries that read and write it counted."""

    consumed: int
    consumed_bytes: int
    produced: int
    failed: int
    skipped: Mapping[str, int]
    last_message_ms: int | None
    is_read: bool
    is_written: bool

    @classmethod
    def of(cls, readers: Sequence[QueryStats], writers: Sequence[QueryStats]) -> _Figures:
        times = [s.last_message_ms for s in (*readers, *writers) if s.last_message_ms is not None]
        return cls(
            sum(s.consumed for s in readers),
            sum(s.consumed_bytes for s in readers),
            sum(s.produced for s in writers),
            sum(s.errors for s in readers),
            sum((Counter(s.skipped) for s in readers), Counter()),
            max(times, default=None),
            any(s.consumed for s in readers),
            any(s.produced for s in writers),
        )

    def values(self) -> list[tuple[str, float]]:
        found: list[tuple[str, float]] = []
        if self.is_read:
            found += [
                ("consumer-total-messages", float(self.consumed)),
                ("consumer-total-bytes", float(self.consumed_bytes)),
            ]
        if self.is_written:
            found.append(("total-messages", float(self.produced)))
        return found

    def errors(self) -> list[tuple[str, float]]:
        found = [("consumer-failed-messages", float(self.failed))] if self.failed else []
        return found + [(f"skipped-{reason}", float(count)) for reason, count in sorted(self.skipped.items())]

    def text(self) -> str:
        """The statistics as a line of text, for the clients that still read that."""
        values = self.values()
        if not values:
            return ""
        parts = [f"{name + ':':<15}{value:>10.0f}" for name, value in values]
        return f"{DEPRECATED}{' '.join(parts)}     last-message: {_moment(self.last_message_ms)}"

    def error_text(self) -> str:
        return " ".join(f"{name}: {value:>9.0f}" for name, value in self.errors())


def _moment(time_ms: int | None) -> str:
    if time_ms is None:
        return "n/a"
    moment = dt.datetime.fromtimestamp(time_ms / 1000, dt.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_ms % 1000:03}Z"


def _query_errors(stats: QueryStats) -> list[Entity]:
    if stats.failure is None:
        return []
    return [{"timestamp": stats.failed_ms, "errorMessage": stats.failure, "type": "SYSTEM"}]
