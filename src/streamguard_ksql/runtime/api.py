"""What a server needs of the runtime: the seam between the REST endpoints and the running engine.

All methods may block and are called from worker threads; all of them may be called at the same time. Errors that are
the user's are KsqlError (and its subclasses, with ksqlDB's error codes).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from streamguard_ksql import ast
from streamguard_ksql.engine import Engine, Outcome
from streamguard_ksql.operators.record import OutputRecord
from streamguard_ksql.plan import Node
from streamguard_ksql.schema import Column

Properties = Mapping[str, Any]


@dataclass(frozen=True)
class Submitted:
    """A statement that was written to the command topic and carried out."""

    outcome: Outcome
    sequence_number: int


@dataclass(frozen=True)
class TopicInfo:
    """A topic as SHOW TOPICS lists it: replicas per partition; consumers and groups for EXTENDED."""

    name: str
    replicas: tuple[int, ...]
    consumers: int = 0
    groups: int = 0


@dataclass(frozen=True)
class PartitionOffsets:
    """A query's offsets in a partition."""

    partition: int
    log_start: int
    log_end: int
    committed: int


@dataclass(frozen=True)
class QueryStats:
    """What a query has done since it was started, for DESCRIBE EXTENDED and metrics."""

    state: str  # RUNNING, PAUSED, ERROR
    consumed: int = 0
    consumed_bytes: int = 0
    produced: int = 0
    errors: int = 0
    last_message_ms: int | None = None
    group_id: str = ""
    failure: str | None = None
    """The fault that ended the query, with its class; None while it runs or is retried."""
    failed_ms: int | None = None
    offsets: Mapping[str, Sequence[PartitionOffsets]] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Records that were left out, by reason: see `streamguard_ksql.operators.base.Skip`."""
    state_entries: int = 0
    state_bytes: int = 0
    """An estimate, see `streamguard_ksql.runtime.memory`."""
    uncommitted_s: float = 0.0
    """How long ago the first of the records was read that the last commit does not have; 0 where it has all."""
    event_lag_s: float | None = None
    """From the time of the record last read to its reading; None before the first."""


@dataclass(frozen=True)
class EngineInfo:
    """One of the engines that share a service id: its name, the URL of its REST API, and what it runs of each query.

    `queries`: by the query's id, then by topic, the partitions that it reads.
    """

    name: str
    address: str
    queries: Mapping[str, Mapping[str, Sequence[int]]]


class RowStream(Protocol):
    """The rows of a push query, or of a pull query over a stream."""

    query_id: str
    columns: Sequence[Column]
    key_columns: Sequence[str]
    """Names among `columns` that are the key, for the header of /query."""

    limit: int | None

    def next_rows(self, timeout_s: float) -> Sequence[Sequence[Any] | None] | None:
        """The rows that have come, waiting at most so long for the first; None at the end.

        Values are SQL values (see `streamguard_ksql.types`), in the order of `columns`. A row that is a tombstone of a
        table is given as None instead of a sequence.
        """

    @property
    def end_reason(self) -> str | None:
        """After the end: 'Limit Reached', 'Query Completed', or the error."""

    def close(self) -> None:
        """Stop the query; rows that have not been taken are gone. May be called more than once, from any thread."""


@dataclass(frozen=True)
class PullResult:
    """The rows of a pull query over a table, there at once."""

    query_id: str
    columns: Sequence[Column]
    key_columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


class Runtime(Protocol):
    """The running engine."""

    engine: Engine
    """Its catalogue, queries and server configuration: to be read under `lock` only."""

    lock: Any
    cluster_id: str
    service_id: str

    def submit(self, statement: ast.Statement, properties: Properties, text: str) -> Submitted:
        """Carry out a statement that defines or ends something (also PAUSE, RESUME), durably."""

    def insert(self, record: OutputRecord) -> None:
        """Produce a record and wait until it is stored."""

    def push_query(self, query: ast.Query, properties: Properties, text: str) -> RowStream:
        """Start a push query, or (no EMIT) a pull query over a stream."""

    def bounded(self, name: str) -> AbstractContextManager[None]:
        """Around something that computes on the calling thread: it ends with a LimitExceeded where it takes too much."""

    def pull_query(
        self, query: ast.Query, properties: Properties, text: str, authorization: str | None = None
    ) -> PullResult:
        """Answer a pull query over a materialised table. Other engines of the service are asked with this HTTP header."""

    def pull_part(self, query: ast.Query, properties: Properties, slots: Collection[int]) -> Sequence[Sequence[Any]]:
        """The rows of a pull query that are in the state of this engine, which has to have these slots."""

    def explain(self, query: ast.Query, properties: Properties) -> tuple[Node, Sequence[Column]]:
        """The plan of a query and its result columns, without running it."""

    def print_topic(self, statement: ast.PrintTopic, properties: Properties) -> Iterator[str]:
        """The lines of PRINT, as they come; closing the iterator ends it."""

    def topics(self, *, extended: bool) -> Sequence[TopicInfo]:
        """The topics of the cluster, internal ones too."""

    def stats(self, query_id: str) -> QueryStats:
        """What a persistent query has done, and its offsets."""

    def all_stats(self) -> Mapping[str, QueryStats]:
        """The same of all of them by id, with one question to Kafka; without offsets where it does not answer."""

    def stats_everywhere(self, authorization: str | None = None) -> Mapping[str, QueryStats]:
        """As `all_stats`, of all engines of the service that answer together."""

    def stats_to_show(self, authorization: str | None = None) -> Callable[[str], QueryStats]:
        """As `stats`, of all engines of the service that answer together."""

    def engines(self) -> Sequence[EngineInfo]:
        """The engines that share the service id; none where this one is alone."""

    @property
    def last_command(self) -> int:
        """The offset of the last statement that was carried out; -1 before the first."""

    def config_value(self, name: str) -> Any:
        """A server setting."""

    def is_healthy(self) -> Mapping[str, bool]:
        """metastore, kafka, commandRunner: whether each is well."""

    def close(self) -> None:
        """Stop all queries, commit, and disconnect."""
