"""The engine: statements in, catalogue and queries changed, without a socket and without a clock.

`Engine.execute(statement)` checks a statement against the catalogue as it is, then carries it out; what it refuses
changes nothing. Topics are reached through a `Topics`; persistent queries are started by the engine's owner: the
server's runtime, or the test runner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from streamguard_ksql import ast
from streamguard_ksql.catalog import STREAM, Catalog, DataSource, QueryUse
from streamguard_ksql.ddl.properties import check_names
from streamguard_ksql.ddl.sources import (
    check_timestamp_is_selected,
    fitted_to,
    source_from_create,
    source_from_query,
)
from streamguard_ksql.errors import BadRequest, KsqlError
from streamguard_ksql.formatter import format_statement
from streamguard_ksql.plan import MaterializeNode, SinkNode, SourceColumn, SourceNode
from streamguard_ksql.planning.planner import PlannedQuery, plan_query
from streamguard_ksql.schema import Schema

DEFAULT_RETENTION_MS = 604_800_000


class Topics(Protocol):
    """The topics, as far as statements need them."""

    def partitions(self, name: str) -> int | None:
        """How many partitions a topic has, None if there is no such topic."""

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
    """The catalogue and the queries. `next_number` numbers the queries' ids, as the command topic's offsets do."""

    topics: Topics
    config: dict[str, Any] = field(default_factory=dict)
    catalog: Catalog = field(default_factory=Catalog)
    queries: dict[str, PersistentQuery] = field(default_factory=dict)
    next_number: int = 0

    def execute(self, statement: ast.Statement, properties: Mapping[str, Any] | None = None) -> Outcome:
        """Carry out a statement that defines or ends something; KsqlError, and no change, where it is refused."""
        handler = HANDLERS.get(type(statement))
        if handler is None:
            raise KsqlError(f"Unsupported statement: {statement.text or type(statement).__name__}")
        outcome: Outcome = handler(self, statement, {**self.config, **(properties or {})})
        return outcome

    # --- CREATE -------------------------------------------------------------------------------------------------------

    def _create_source(self, statement: ast.CreateSource, config: Mapping[str, Any]) -> Outcome:
        existing = self.catalog.find(statement.name)
        if existing is not None and statement.if_not_exists:
            return self._exists(statement, existing)
        self._check_replacement(statement, existing)
        statement = self._with_columns(statement)
        sql = format_statement(_normal_create(statement))
        if existing is not None and not statement.or_replace:
            raise self._already_there(statement.kind, statement.name, existing, sql)
        source = source_from_create(statement, self.catalog, config)
        source = replace(source, sql=sql)
        self._need_topic(source, statement)
        if existing is not None:
            self._check_evolution(existing, source)
        source = replace(source, partitions=self.topics.partitions(source.topic))
        query = None
        if source.read_only and source.is_table:
            source = replace(source, query_id=f"CST_{source.name}_{self.next_number}")
            query = self._materialise(source, config)
        self.catalog.add(source)
        return Outcome(f"{statement.kind.capitalize()} created", sql, query=query, source=source)

    def _materialise(self, source: DataSource, config: Mapping[str, Any]) -> PersistentQuery:
        """The query behind a source table, which keeps it for pull queries and lives as long as it does."""
        assert source.query_id is not None
        stored = source.schema.stored
        origins = tuple(SourceColumn("VALUE", i) for i in range(len(stored)))
        kept = SourceNode(Schema(source.schema.key, stored), source, origins)
        plan = MaterializeNode(source.schema, kept, source)
        config = {**config, "ksql.streams.auto.offset.reset": "earliest"}
        query = PersistentQuery(source.query_id, source.sql, plan, source, (source,), config, creates=False)
        self.queries[query.query_id] = query
        return query

    def _with_columns(self, statement: ast.CreateSource) -> ast.CreateSource:
        columns = tuple(replace(c, type=self.catalog.resolve(c.type)) for c in statement.columns)
        return replace(statement, columns=columns)

    def _exists(self, statement: ast.CreateSource | ast.CreateAsSelect, existing: DataSource) -> Outcome:
        word = statement.kind.lower()
        other = existing.kind.lower()
        message = f"Cannot add {word} `{statement.name}`: A {other} with the same name already exists."
        return Outcome(message, statement.text, skipped=True)

    def _already_there(self, kind: str, name: str, existing: DataSource, sql: str) -> KsqlError:
        return KsqlError(
            f"Cannot add {kind.lower()} '{name}': A {existing.kind.lower()} with the same name already exists",
            statement=sql,
        )

    def _check_replacement(self, statement: ast.CreateSource | ast.CreateAsSelect, existing: DataSource | None) -> None:
        if not statement.or_replace:
            return
        is_source = isinstance(statement, ast.CreateSource) and statement.is_source
        if is_source or (existing is not None and existing.read_only):
            kind = statement.kind.lower()
            raise KsqlError(
                f"Cannot add {kind} '{statement.name}': CREATE OR REPLACE is not supported on source {kind}s."
            )

    def _check_evolution(self, old: DataSource, new: DataSource) -> None:
        """CREATE OR REPLACE may add columns at the end; all else is refused."""
        if old.kind != new.kind:
            raise self._cannot_upgrade(
                new, f"DataSource '`{new.name}`' has type = K{old.kind} which is not upgradeable to K{new.kind}"
            )
        if old.topic != new.topic:
            raise self._cannot_upgrade(
                new, f"DataSource '`{new.name}`' has topic = {old.topic} which is not upgradeable to {new.topic}"
            )
        if old.schema.key != new.schema.key:
            raise self._cannot_upgrade(
                new, f"(Key columns must be identical.) Existing: {old.schema}, new: {new.schema}"
            )
        kept = list(old.schema.value)
        if list(new.schema.value)[: len(kept)] != kept:
            moved = [c for i, c in enumerate(kept) if new.schema.value[i : i + 1] != (c,)]
            missing = ", ".join(f"`{c.name}` {c.type}" for c in moved)
            raise self._cannot_upgrade(new, f"(The following columns are changed, missing or reordered: [{missing}])")

    def _cannot_upgrade(self, source: DataSource, why: str) -> KsqlError:
        return KsqlError(f"Cannot upgrade data source: {why}")

    def _need_topic(self, source: DataSource, statement: ast.CreateSource) -> None:
        if self.topics.partitions(source.topic) is not None:
            return
        if source.partitions is None:
            example = replace(
                statement,
                or_replace=False,
                if_not_exists=False,
                is_source=False,
                properties={**_normal_create(statement).properties, "PARTITIONS": 2},
            )
            example.properties.pop("CLEANUP_POLICY", None)
            raise BadRequest(
                f"Topic '{source.topic}' does not exist. If you want to create a new topic for the stream/table please "
                "re-run the statement providing the required 'PARTITIONS' configuration in the WITH clause (and optionally "
                f"'REPLICAS'). For example: {format_statement(example)}"
            )
        policy = "delete" if source.kind == STREAM else "compact"
        self.topics.create(source.topic, source.partitions, {"cleanup.policy": policy})

    def _create_as_select(self, statement: ast.CreateAsSelect, config: Mapping[str, Any]) -> Outcome:
        existing = self.catalog.find(statement.name)
        if existing is not None and statement.if_not_exists:
            return self._exists(statement, existing)
        self._check_replacement(statement, existing)
        replaced = existing is not None and statement.or_replace
        if existing is not None and not replaced:
            raise self._already_there(statement.kind, statement.name, existing, statement.text)
        query_id = self._query_id_of(existing) if replaced else None
        query_id = query_id or f"{'CSAS' if statement.kind == STREAM else 'CTAS'}_{statement.name}_{self.next_number}"
        check_timestamp_is_selected(statement)
        planned = self._planned(statement, statement.query, statement.name, config)
        target = source_from_query(statement, planned, self.catalog, config, query_id)
        if existing is not None and replaced:
            self._check_evolution(existing, target)
        target = self._with_topic(target, planned)
        normal = _normal_query(statement, target, planned)
        sql = format_statement(normal)
        target = replace(target, sql=sql)
        query = self._register(query_id, sql, planned, target, config, creates=True)
        self.catalog.add(target)
        return Outcome(f"Created query with ID {query_id}", sql, query=query, source=target)

    def _query_id_of(self, existing: DataSource | None) -> str | None:
        return None if existing is None else existing.query_id

    def _planned(
        self, statement: ast.Statement, query: ast.Query, sink: str, config: Mapping[str, Any]
    ) -> PlannedQuery:
        try:
            return plan_query(query, self.catalog, config, sink=sink)
        except KsqlError as error:
            error.statement = error.statement or _try_normal(statement, self.catalog, self.topics)
            raise

    def _with_topic(self, target: DataSource, planned: PlannedQuery) -> DataSource:
        """The target with its topic there, and the number of partitions it has."""
        existing = self.topics.partitions(target.topic)
        first = self.catalog.get(planned.source_names[0])
        partitions = existing or target.partitions or self.topics.partitions(first.topic) or 1
        if existing is None:
            policy = "delete" if target.kind == STREAM else "compact,delete" if target.window else "compact"
            self.topics.create(target.topic, partitions, {"cleanup.policy": policy})
        return replace(target, partitions=partitions)

    def _register(
        self,
        query_id: str,
        sql: str,
        planned: PlannedQuery,
        target: DataSource,
        config: Mapping[str, Any],
        *,
        creates: bool,
    ) -> PersistentQuery:
        plan = SinkNode(planned.node.schema, planned.node, target)
        sources = tuple(self.catalog.get(n) for n in planned.source_names)
        query = PersistentQuery(query_id, sql, plan, target, sources, dict(config), creates)
        self.queries[query_id] = query
        self.catalog.uses[query_id] = QueryUse(query_id, planned.source_names, target.name, creates)
        self.next_number += 1
        return query

    # --- INSERT -------------------------------------------------------------------------------------------------------

    def _insert_into(self, statement: ast.InsertInto, config: Mapping[str, Any]) -> Outcome:
        check_names(statement.properties, frozenset({"QUERY_ID"}))
        target = self.catalog.get(statement.target)
        if target.is_table:
            raise KsqlError(f"INSERT INTO can only be used to insert into a stream. {target.name} is a table.")
        if target.read_only:
            raise KsqlError(f"Cannot insert into read-only {target.kind.lower()}: {target.name}")
        if target.schema.headers:
            raise KsqlError(f"Cannot insert into {target.name} because it has header columns")
        query_id = self._insert_id(statement)
        planned = self._planned(statement, statement.query, target.name, config)
        if planned.is_table:
            raise KsqlError(
                "INSERT INTO can only be used to insert a stream. The SELECT query produces a TABLE: "
                f"{target.name} is a stream."
            )
        planned = fitted_to(planned, target)
        sql = format_statement(_qualified(statement, planned))
        query = self._register(query_id, sql, planned, target, config, creates=False)
        return Outcome(f"Created query with ID {query_id}", sql, query=query)

    def _insert_id(self, statement: ast.InsertInto) -> str:
        given = statement.properties.get("QUERY_ID")
        if given is None:
            return f"INSERTQUERY_{self.next_number}"
        query_id = str(given).upper()
        if query_id in self.queries:
            raise KsqlError(f"Query ID '{query_id}' already exists.")
        return query_id

    # --- DROP, TERMINATE ----------------------------------------------------------------------------------------------

    def _drop(self, statement: ast.DropSource, config: Mapping[str, Any]) -> Outcome:
        word = statement.kind.capitalize()
        source = self.catalog.find(statement.name)
        if source is None:
            if statement.if_exists:
                return Outcome(f"Source `{statement.name}` does not exist.", statement.text)
            raise KsqlError(f"{word} {statement.name} does not exist.{self.catalog.hint(statement.name)}")
        if source.kind != statement.kind:
            raise KsqlError(f"Incompatible data source type is {source.kind}, but statement was DROP {statement.kind}")
        if source.read_only and statement.delete_topic:
            raise KsqlError(f"Cannot delete topic for read-only source: {source.name}")
        self._refuse_in_use(source)
        ended = [q for q in (source.query_id,) if q is not None and q in self.queries]
        for query_id in ended:
            self._forget(query_id)
        del self.catalog.sources[source.name]
        if statement.delete_topic:
            self.topics.delete(source.topic)
        sql = format_statement(replace(statement, delete_topic=False)) if statement.delete_topic else statement.text
        message = f"Source `{source.name}` (topic: {source.topic}) was dropped."
        return Outcome(message, sql, terminated=tuple(ended), source=source)

    def _refuse_in_use(self, source: DataSource) -> None:
        built = sorted(self.catalog.built_on(source.name))
        if built:
            raise KsqlError(
                f"Cannot drop {source.name}.\nThe following streams and/or tables read from this source: "
                f"[{', '.join(built)}].\nYou need to drop them before dropping {source.name}."
            )
        readers = sorted(q for q in self.catalog.readers(source.name) if q != source.query_id)
        writers = sorted(q for q in self.catalog.writers(source.name) if q != source.query_id)
        if readers or writers:
            raise KsqlError(
                f"Cannot drop {source.name}.\nThe following queries read from this source: [{', '.join(readers)}].\n"
                f"The following queries write into this source: [{', '.join(writers)}].\n"
                f"You need to terminate them before dropping {source.name}."
            )

    def _terminate(self, statement: ast.Terminate, config: Mapping[str, Any]) -> Outcome:
        if statement.query_id is None:
            ended = tuple(q.query_id for q in self.queries.values() if q.sinks)
        elif self.query(statement.query_id).sinks:
            ended = (statement.query_id,)
        else:
            raise KsqlError(f"Cannot terminate query '{statement.query_id}' because it is linked to a source table.")
        for query_id in ended:
            self._forget(query_id)
        return Outcome("Query terminated.", statement.text, terminated=ended)

    def query(self, query_id: str) -> PersistentQuery:
        """The running query of that id; KsqlError if there is none."""
        found = self.queries.get(query_id)
        if found is None:
            raise KsqlError(f"Unknown queryId: {query_id}")
        return found

    def _forget(self, query_id: str) -> None:
        self.queries.pop(query_id, None)
        self.catalog.uses.pop(query_id, None)

    # --- types, ALTER -------------------------------------------------------------------------------------------------

    def _create_type(self, statement: ast.CreateType, config: Mapping[str, Any]) -> Outcome:
        if statement.name in self.catalog.types:
            known = self.catalog.types[statement.name]
            message = (
                f"Cannot register custom type '{statement.name}' since it is already registered with type: {known}"
            )
            if statement.if_not_exists:
                return Outcome(message, statement.text, skipped=True)
            raise KsqlError(message)
        resolved = self.catalog.resolve(statement.type)
        self.catalog.types[statement.name] = resolved
        message = f"Registered custom type with name '{statement.name}' and SQL type {resolved}"
        return Outcome(message, statement.text)

    def _drop_type(self, statement: ast.DropType, config: Mapping[str, Any]) -> Outcome:
        if self.catalog.types.pop(statement.name, None) is None:
            if statement.if_exists:
                return Outcome(f"Type '{statement.name}' does not exist", statement.text)
            raise KsqlError(f"Type {statement.name} does not exist.")
        return Outcome(f"Dropped type '{statement.name}'", statement.text)

    def _alter(self, statement: ast.AlterSource, config: Mapping[str, Any]) -> Outcome:
        source = self.catalog.find(statement.name)
        if source is None:
            raise KsqlError(f"Source {statement.name} does not exist.{self.catalog.hint(statement.name)}")
        kind = source.kind.lower()
        if source.kind != statement.kind:
            raise KsqlError(f"Incompatible data source type is {source.kind}, but statement was ALTER {statement.kind}")
        if source.read_only:
            raise KsqlError(
                f"Cannot alter {kind} '{source.name}': ALTER operations are not supported on source {kind}s."
            )
        if source.query_id is not None:
            raise KsqlError("ALTER command is not supported for CREATE ... AS statements.")
        from streamguard_ksql.schema import Column

        added = tuple(Column(c.name, self.catalog.resolve(c.type)) for c in statement.columns)
        for column in added:
            if source.schema.find(column.name) is not None:
                raise KsqlError(
                    f"Cannot add column `{column.name}` to schema. A column with the same name already exists."
                )
        schema = Schema(source.schema.key, source.schema.value + added)
        self.catalog.add(replace(source, schema=schema))
        return Outcome(f"{kind.capitalize()} {source.name} altered successfully.", statement.text)


HANDLERS: dict[type[ast.Statement], Any] = {
    ast.CreateSource: Engine._create_source,
    ast.CreateAsSelect: Engine._create_as_select,
    ast.InsertInto: Engine._insert_into,
    ast.DropSource: Engine._drop,
    ast.Terminate: Engine._terminate,
    ast.CreateType: Engine._create_type,
    ast.DropType: Engine._drop_type,
    ast.AlterSource: Engine._alter,
}


# --- statements in ksqlDB's normal form -------------------------------------------------------------------------------


def _normal_create(statement: ast.CreateSource) -> ast.CreateSource:
    policy = "delete" if statement.kind == STREAM else "compact"
    properties = {"CLEANUP_POLICY": policy, **statement.properties}
    if "FORMAT" not in properties:
        properties.setdefault("KEY_FORMAT", "KAFKA")
    return replace(statement, properties=properties)


def _normal_query(statement: ast.CreateAsSelect, target: DataSource, planned: PlannedQuery) -> ast.CreateAsSelect:
    policy = "delete" if target.kind == STREAM else "compact,delete" if target.window else "compact"
    known = {"KAFKA_TOPIC": target.topic, "PARTITIONS": target.partitions or 1}
    properties = _result_properties(policy, {**known, **statement.properties})
    normal: ast.CreateAsSelect = replace(_qualified(statement, planned), properties=properties)
    return normal


def _qualified(statement: Any, planned: PlannedQuery) -> Any:
    """The statement with qualified columns and every item named, as ksqlDB keeps it."""
    from streamguard_ksql.planning.normal import normal_query

    return replace(statement, query=normal_query(statement.query, planned.names))


def _try_normal(statement: Any, catalog: Catalog, topics: Topics) -> str:
    """The normal form of a refused statement, as far as its names can be resolved; else its text."""
    from streamguard_ksql.planning.names import Names, bind
    from streamguard_ksql.planning.normal import normal_query

    try:
        bindings = bind(statement.query.source, catalog)
        normal = replace(statement, query=normal_query(statement.query, Names(bindings)))
        if isinstance(statement, ast.CreateAsSelect):
            given = {"KAFKA_TOPIC": statement.name, "PARTITIONS": topics.partitions(bindings[0].source.topic) or 1}
            policy = "delete" if statement.kind == STREAM else "compact,delete" if statement.query.window else "compact"
            shown = _result_properties(policy, {**given, **statement.properties})
            normal = replace(normal, properties=shown)
        return format_statement(normal)
    except KsqlError:
        return str(statement.text)


def _result_properties(policy: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The WITH clause of a query's result in normal form: what is given, over the defaults."""
    return {"CLEANUP_POLICY": policy, "REPLICAS": 1, "RETENTION_MS": DEFAULT_RETENTION_MS, **given}


def is_persistent(statement: ast.Statement) -> bool:
    return isinstance(statement, (ast.CreateAsSelect, ast.InsertInto))
