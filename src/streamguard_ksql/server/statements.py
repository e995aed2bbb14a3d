"""The statements of `/ksql`: for each type a handler that gives the entities of its answer.

Statements of one request that belong together are first tried on a copy of the engine: if the third of them is refused,
the first two have not happened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from streamguard_ksql import ast
from streamguard_ksql.engine import HANDLERS as ENGINE_STATEMENTS
from streamguard_ksql.engine import is_persistent
from streamguard_ksql.errors import KsqlError, WrongEndpoint
from streamguard_ksql.inserts import insert_values_record
from streamguard_ksql.runtime.api import Runtime
from streamguard_ksql.runtime.service import command_id
from streamguard_ksql.server import entities
from streamguard_ksql.server.entities import Entity
from streamguard_ksql.server.errors import RestError, fault, refusal
from streamguard_ksql.server.session import Prepared
from streamguard_ksql.server.state import Server

QUERY_ENDPOINT = (
    "The following statement types should be issued to the websocket endpoint '/query':\n\t* PRINT\n\t* SELECT"
)
ACTIVE_LIMIT = "ksql.query.persistent.active.limit"


@dataclass(frozen=True)
class Context:
    """What a handler has: the server, and the properties and variables of its statement."""

    server: Server
    properties: Mapping[str, Any]
    variables: Mapping[str, str]

    @property
    def runtime(self) -> Runtime:
        return self.server.runtime


StatementType = TypeVar("StatementType", bound=ast.Statement)
Handler = Callable[[Any, Context], list[Entity]]
HANDLERS: dict[type[ast.Statement], Handler] = {}


def handles(*types: type[ast.Statement]) -> Callable[[Handler], Handler]:
    """Register the handler of some statement types."""

    def register(handler: Handler) -> Handler:
        for statement_type in types:
            if statement_type in HANDLERS:
                raise ValueError(f"{statement_type.__name__} has two handlers")
            HANDLERS[statement_type] = handler
        return handler

    return register


def execute(prepared: Sequence[Prepared], server: Server) -> list[Entity]:
    """Carry out the statements of a request; RestError for the first refused, with the answers of those before it."""
    _check_endpoint(prepared, server)
    _try_together(prepared, server)
    answers: list[Entity] = []
    for one in prepared:
        text = one.statement.text
        context = Context(server, one.properties, one.variables)
        try:
            answers += HANDLERS.get(type(one.statement), _unsupported)(one.statement, context)
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

    def create(self, name: str, partitions: int, config: Mapping[str, str]) -> None:
        self._changed[name] = partitions

    def delete(self, name: str) -> None:
        self._changed[name] = None


def _try_together(prepared: Sequence[Prepared], server: Server) -> None:
    """Execute all on a copy of the engine and throw it away; a statement alone is tried by the runtime itself."""
    changing = [p for p in prepared if type(p.statement) in ENGINE_STATEMENTS]
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


@handles(
    ast.CreateSource,
    ast.CreateAsSelect,
    ast.InsertInto,
    ast.DropSource,
    ast.CreateType,
    ast.DropType,
    ast.AlterSource,
    ast.Pause,
    ast.Resume,
)
def _submit(statement: Any, context: Context) -> list[Entity]:
    if is_persistent(statement):
        _check_active_limit(context)
    submitted = context.runtime.submit(statement, context.properties, statement.text)
    outcome = submitted.outcome
    if outcome.skipped:
        return [entities.warning(statement.text, outcome.message)]
    query_id = None if outcome.query is None else outcome.query.query_id
    status = entities.command_status(outcome.message, query_id)
    command = command_id(statement, outcome)
    context.server.remember(command, status, submitted.sequence_number)
    return [entities.current_status(outcome.sql, command, status, submitted.sequence_number)]


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


@handles(ast.Terminate)
def _terminate(statement: ast.Terminate, context: Context) -> list[Entity]:
    """A persistent query's end is a command; a push query is closed here and now."""
    for query in context.server.open_queries():
        if query.query_id.upper() == statement.query_id:  # SQL has the name in upper case
            context.server.close_query(query.query_id)
            return [entities.terminated_query(statement.text, query.query_id)]
    return _submit(statement, context)


@handles(ast.InsertValues)
def _insert_values(statement: ast.InsertValues, context: Context) -> list[Entity]:
    runtime = context.runtime
    with runtime.lock:
        config = {**runtime.engine.config, **context.properties}
        record = insert_values_record(statement, runtime.engine.catalog, config, context.server.clock_ms)
    runtime.insert(record)
    return []


@handles(ast.ListConnectors, ast.ConnectorStatement)
def _connectors(statement: ast.Statement, context: Context) -> list[Entity]:
    raise RestError(
        "Connectors are not supported: this server has no Kafka Connect.", code=50000, statement=statement.text
    )


@handles(ast.AssertSchema)
def _assert_schema(statement: ast.AssertSchema, context: Context) -> list[Entity]:
    raise KsqlError("ASSERT SCHEMA needs a Schema Registry, which this server does not have.")


@handles(ast.RunScript)
def _run_script(statement: ast.RunScript, context: Context) -> list[Entity]:
    raise KsqlError("RUN SCRIPT is a command of the ksql shell; the server does not read files.")
