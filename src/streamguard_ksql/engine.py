"""The engine: statements in, catalogue and queries changed, without a socket and without a clock.

`Engine.execute(statement)` checks a statement against the catalogue as it is, then carries it out; what it refuses
changes nothing. Topics are reached through a `Topics`; persistent queries are started by the engine's owner: the
server's runtime, or the test runner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from streamguard_ksql import ast
from streamguard_ksql.catalog import Catalog, DataSource, QueryUse
from streamguard_ksql.ddl.normal import try_normal
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.plan import MaterializeNode, SinkNode
from streamguard_ksql.planning.planner import PlannedQuery, plan_query
from streamguard_ksql.schema import Schema
from streamguard_ksql.statements.registry import applies


@dataclass(frozen=True)
class TopicShape:
    """What a topic was created with: partitions, replicas of each, and how long records are kept (-1: for ever)."""

    partitions: int
    replicas: int
    retention_ms: int


class Topics(Protocol):
    """The topics, as far as statements need them."""

    def partitions(self, name: str) -> int | None:
        """How many partitions a topic has, None if there is no such topic."""

    def shape(self, name: str) -> TopicShape | None:
        """What a topic was created with, None where that is not known."""

    def create(self, name: str, partitions: int, config: Mapping[str, str]) -> None:
        """Create a topic."""

    def delete(self, name: str) -> None:
        """Delete a topic."""


@dataclass(frozen=True)
class PersistentQuery:
    """A query that runs until it is terminated. `sql` is the statement in ksqlDB's normal form."""

    query_id: str
    sql: str
    plan: SinkNode | MaterializeNode
    target: DataSource
    sources: tuple[DataSource, ...]
    config: Mapping[str, Any]
    creates: bool

    @property
    def sinks(self) -> tuple[DataSource, ...]:
        """What it writes to: nothing if it keeps a source table."""
        return (self.target,) if isinstance(self.plan, SinkNode) else ()

    @property
    def columns(self) -> Schema:
        return self.plan.schema


@dataclass(frozen=True)
class Outcome:
    """What a statement did: the message for the person, the statement in normal form, the query it started or ended."""

    message: str
    sql: str
    query: PersistentQuery | None = None
    terminated: tuple[str, ...] = ()
    source: DataSource | None = None
    skipped: bool = False


@dataclass
class Engine:
    """The catalogue and the queries. `next_number`: in the id of the next query, from its place in the command topic."""

    topics: Topics
    config: dict[str, Any] = field(default_factory=dict)
    catalog: Catalog = field(default_factory=Catalog)
    queries: dict[str, PersistentQuery] = field(default_factory=dict)
    next_number: int = 0
    replaying: bool = False
    """Whether statements are repeated that were carried out long ago, whatever has become of their topics."""

    def execute(self, statement: ast.Statement, properties: Mapping[str, Any] | None = None) -> Outcome:
        """Carry out a statement that defines or ends something; KsqlError, and no change, where it is refused."""
        apply = applies.find(type(statement))
        if apply is None:
            raise KsqlError(f"Unsupported statement: {statement.text or type(statement).__name__}")
        outcome: Outcome = apply(self, statement, {**self.config, **(properties or {})})
        return outcome

    # --- what the effects of statements share -------------------------------------------------------------------------

    def plan(self, statement: ast.Statement, query: ast.Query, sink: str, config: Mapping[str, Any]) -> PlannedQuery:
        """The plan of a statement's query; KsqlError, with the statement in normal form, where it is refused."""
        try:
            return plan_query(query, self.catalog, config, sink=sink, replaying=self.replaying)
        except KsqlError as error:
            error.statement = error.statement or try_normal(statement, self.catalog, self.topics.partitions)
            raise

    def register(
        self,
        query_id: str,
        sql: str,
        planned: PlannedQuery,
        target: DataSource,
        config: Mapping[str, Any],
        *,
        creates: bool,
    ) -> PersistentQuery:
        """Add a query that writes to `target`, from now on one of `queries`."""
        plan = SinkNode(planned.node.schema, planned.node, target)
        sources = tuple(self.catalog.get(n) for n in planned.source_names)
        query = PersistentQuery(query_id, sql, plan, target, sources, dict(config), creates)
        self.queries[query_id] = query
        self.catalog.uses[query_id] = QueryUse(query_id, planned.source_names, target.name, creates)
        self.next_number += 1
        return query

    def query(self, query_id: str) -> PersistentQuery:
        """The running query of that id; KsqlError if there is none."""
        found = self.queries.get(query_id)
        if found is None:
            raise KsqlError(f"Unknown queryId: {query_id}")
        return found

    def forget(self, query_id: str) -> None:
        """Remove a query, if it is there."""
        self.queries.pop(query_id, None)
        self.catalog.uses.pop(query_id, None)
