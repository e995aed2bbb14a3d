"""The statements of `/ksql`, carried out by the handlers of `streamguard_ksql.statements`.

Statements of one request that belong together are first tried on a copy of the engine: if the third of them is refused,
the first two have not happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.catalog import DataSource
from streamguard_ksql.engine import TopicShape
from streamguard_ksql.errors import KsqlError, WrongEndpoint
from streamguard_ksql.runtime.api import Runtime
from streamguard_ksql.runtime.command_ids import command_id
from streamguard_ksql.server import entities
from streamguard_ksql.server.descriptions import Describer
from streamguard_ksql.server.entities import Entity
from streamguard_ksql.server.errors import RestError, fault, refusal
from streamguard_ksql.server.session import Prepared
from streamguard_ksql.server.state import Server
from streamguard_ksql.statements.registry import applies, executes

QUERY_ENDPOINT = (
    "The following statement types should be issued to the websocket endpoint '/query':\n\t* PRINT\n\t* SELECT"
)
INTERNAL_PREFIX = "_confluent-ksql-"
ACTIVE_LIMIT = "ksql.query.persistent.active.limit"


@dataclass(frozen=True)
class Context:
    """What a handler has: the server, and the properties and variables of its statement."""

    server: Server
    properties: Mapping[str, Any]
    variables: Mapping[str, str]
    authorization: str | None = None
    """The login of who sent the statement, for questions to other engines of the service."""

    @property
    def runtime(self) -> Runtime:
        return self.server.runtime

    def describer(self) -> Describer:
        stats = self.runtime.stats_to_show(self.authorization)
        return Describer(self.runtime.engine, stats, self.server.host, self.server.clock_ms())

    def source(self, name: str) -> DataSource:
        """The stream or table of that name; KsqlError if there is none."""
        catalog = self.runtime.engine.catalog
        source = catalog.find(name)
        if source is None:
            raise KsqlError(f"Could not find STREAM/TABLE '{name}' in the Metastore{catalog.hint(name)}")
        return source


def execute(prepared: Sequence[Prepared], server: Server, authorization: str | None = None) -> list[Entity]:
    """Carry out the statements of a request; RestError for the first refused, with the answers of those before it."""
    _check_endpoint(prepared, server)
    _try_together(prepared, server)
    answers: list[Entity] = []
    for one in prepared:
        text = one.statement.text
        context = Context(server, one.properties, one.variables, authorization)
        try:
            answers += (executes.find(type(one.statement)) or _unsupported)(one.statement, context)
        except KsqlError as error:
            raise refusal(error, text, answers) from None
        except RestError as error:
            error.entities = answers
            raise
        except Exception as error:
            raise _statement_fault(error, text, answers) from error
    return answers


def _statement_fault(error: Exception, text: str, answers: list[Entity]) -> RestError:
    found = fault(error, f"executing {' '.join(text.split())[:80]}")
    return RestError(found.message, code=found.code, statement=text, entities=answers)


def _unsupported(statement: ast.Statement, context: Context) -> list[Entity]:
    raise KsqlError(f"Unsupported statement: {statement.text}")


def _check_endpoint(prepared: Sequence[Prepared], server: Server) -> None:
    """Send SELECT and PRINT to where they are served, after a look at their sources as ksqlDB takes it."""
    for one in prepared:
        statement = one.statement
        try:
            if isinstance(statement, ast.QueryStatement):
                check_sources(statement.query.source, server)
            if isinstance(statement, (ast.QueryStatement, ast.PrintTopic)):
                raise WrongEndpoint(QUERY_ENDPOINT)
        except KsqlError as error:
            raise refusal(error, statement.text) from None


def check_sources(relation: ast.Relation, server: Server) -> None:
    """KsqlError for the first source of a FROM clause that does not exist."""
    if isinstance(relation, ast.Join):
        check_sources(relation.left, server)
        check_sources(relation.right, server)
    elif isinstance(relation, ast.Source):
        catalog = server.runtime.engine.catalog
        with server.runtime.lock:
            if catalog.find(relation.name) is None:
                hint = catalog.hint(relation.name)
                raise KsqlError(f"Exception while preparing statement: {relation.name} does not exist.{hint}")


# --- trying statements together ---------------------------------------------------------------------------------------


class _TrialTopics:
    """The topics as they are, and what the statements before would have made of them."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self._changed: dict[str, int | None] = {}

    def partitions(self, name: str) -> int | None:
        if name in self._changed:
            return self._changed[name]
        found: int | None = self._real.partitions(name)
        return found

    def shape(self, name: str) -> TopicShape | None:
        found: TopicShape | None = None if name in self._changed else self._real.shape(name)
        return found

    def create(self, name: str, partitions: int, config: Mapping[str, str]) -> None:
        self._changed[name] = partitions

    def delete(self, name: str) -> None:
        self._changed[name] = None


def _try_together(prepared: Sequence[Prepared], server: Server) -> None:
    """Execute all on a copy of the engine and throw it away; a statement alone is tried by the runtime itself."""
    changing = [p for p in prepared if applies.find(type(p.statement)) is not None]
    if len(prepared) < 2 or not changing:
        return
    with server.runtime.lock:
        engine = server.runtime.engine
        topics = _TrialTopics(engine.topics)
        trial = replace(engine, topics=topics, catalog=engine.catalog.copy(), queries=dict(engine.queries))
        for one in changing:
            try:
                trial.execute(one.statement, one.properties)
            except KsqlError as error:
                raise refusal(error, one.statement.text) from None


# --- statements that change something ---------------------------------------------------------------------------------


def submit(statement: ast.Statement, context: Context) -> list[Entity]:
    """The handler of statements that change something: carried out by the runtime, durably."""
    submitted = context.runtime.submit(statement, context.properties, statement.text)
    outcome = submitted.outcome
    if outcome.skipped:
        return [entities.warning(statement.text, outcome.message)]
    query_id = None if outcome.query is None else outcome.query.query_id
    status = entities.command_status(outcome.message, query_id)
    command = command_id(statement, outcome)
    context.server.remember(command, status, submitted.sequence_number)
    return [entities.current_status(outcome.sql, command, status, submitted.sequence_number)]


def submit_query(statement: ast.Statement, context: Context) -> list[Entity]:
    """The handler of statements that start a persistent query: `submit`, as long as there are not too many."""
    _check_active_limit(context)
    return submit(statement, context)


def _check_active_limit(context: Context) -> None:
    limit = context.runtime.config_value(ACTIVE_LIMIT)
    with context.runtime.lock:
        active = len(context.runtime.engine.queries)
    if limit is not None and active >= int(limit):
        raise KsqlError(
            f"Not executing statement(s) as it would cause the number of active, persistent queries to exceed the "
            f"configured limit. Use the TERMINATE command to terminate existing queries. Current count: {active}. "
            f"Configured limit: {limit}."
        )
