"""Checks, findings, and the connections that the checks share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from streamguard.config import Settings, UserError
from streamguard.database import error_message, make_engine
from streamguard.kafka import clients
from streamguard.sqldeploy.state import Rejected, Server, Snapshot
from streamguard.stack.readiness import kafka_probe
from streamguard.stack.supervisor import Process, Supervisor

_ANSWER_S = 10.0
"""A busy machine answers late; a frozen process never does."""


@dataclass(frozen=True)
class Finding:
    """One sentence: what, where, what to do. What is not `serious` is worth knowing, and nothing stands still."""

    sentence: str
    serious: bool = True


@dataclass
class Context:
    """What the checks share. A part that does not answer is None, and its error says why; the checks of it find nothing."""

    settings: Settings
    processes: dict[str, Process] | None = None
    """Of the supervisor; None where it does not answer."""
    database: Connection | None = None
    database_error: str = ""
    kafka: KafkaAdminClient | None = None
    kafka_error: str = ""
    engine: Server | None = None
    engine_error: str = ""
    engine_terminated: bool = False
    """Whether it answers and was ended by its REST API; `engine` is None then."""
    queries: list[dict[str, Any]] = field(default_factory=list)
    """The persistent queries, as SHOW QUERIES lists them."""

    @property
    def limit_s(self) -> float:
        """How long a thing may stand still, seconds."""
        return self.settings.status_limit_s

    def where_to_look(self, part: str) -> str:
        """What to do about a part (postgres, broker, ksqldb) that does not answer; of one elsewhere there is no log here."""
        variable = self.settings.external.get(part)
        if variable is None:
            return f"see `streamguard logs {part}`"
        return f"it runs elsewhere ({variable}), see there"


Run = Callable[[Context], Iterator[Finding]]


@dataclass(frozen=True)
class Check:
    """A check with the title of its section in the runbook."""

    title: str
    run: Run


FAILURES = (KafkaError, DBAPIError, UserError, Rejected)
"""How a part that answers no more ends a check."""

_CAUSES = ("processes", "topics", "database", "engine")
"""The modules whose findings come first: a broker that is down has many effects."""

CHECKS: list[Check] = []
"""All checks, in the order of their modules."""


def check(title: str) -> Callable[[Run], Run]:
    """Register a check."""

    def register(run: Run) -> Run:
        CHECKS.append(Check(title, run))
        return run

    return register


def findings(settings: Settings) -> Iterator[Finding]:
    """Run every check, one after the other. A check that an error ends is a finding itself."""
    with connected(settings) as context:
        for _, finding in findings_of(context):
            yield finding


def findings_of(context: Context) -> Iterator[tuple[str, Finding]]:
    """The same on connections that are open, each with the title of its check."""
    for one in sorted(CHECKS, key=_place):
        try:
            for finding in one.run(context):
                yield one.title, finding
        except FAILURES as error:
            reason = error_message(error) or type(error).__name__
            yield (
                one.title,
                Finding(f'"{one.title}" could not be checked ({reason}): repeat `streamguard status`'),
            )


def _place(one: Check) -> int:
    """Causes before their effects."""
    module = one.run.__module__.rpartition(".")[2]
    return _CAUSES.index(module) if module in _CAUSES else len(_CAUSES)


@contextmanager
def connected(settings: Settings) -> Iterator[Context]:
    """The parts as they are now, with a connection to each that answers."""
    context = Context(settings)
    supervisor = Supervisor(settings)
    if supervisor.alive():
        context.processes = supervisor.processes()
    with ExitStack() as connections:
        _connect_database(context, connections)
        _connect_kafka(context, connections)
        _connect_engine(context)
        yield context


def _connect_engine(context: Context) -> None:
    server = Snapshot(context.settings.ksqldb, timeout_s=_ANSWER_S)
    if problem := server.problem(_ANSWER_S):
        context.engine_error = str(problem)
        return
    try:
        context.engine_terminated = server.is_terminated()
        if context.engine_terminated:
            context.engine_error = "it was terminated"
            return
        [entity] = server.execute("SHOW QUERIES;")
    except (UserError, Rejected) as error:
        context.engine_error = f"SHOW QUERIES: {error}"
        return
    context.engine = server
    context.queries = [query for query in entity["queries"] if query["queryType"] == "PERSISTENT"]


def _connect_database(context: Context, connections: ExitStack) -> None:
    engine = make_engine(context.settings).execution_options(isolation_level="AUTOCOMMIT")
    connections.callback(engine.dispose)
    try:
        context.database = connections.enter_context(engine.connect())
    except DBAPIError as error:
        context.database_error = error_message(error)


def _connect_kafka(context: Context, connections: ExitStack) -> None:
    # A closed port or a wrong password is known at once; the client would try until its time is over.
    if reason := kafka_probe(context.settings, _ANSWER_S):
        context.kafka_error = str(reason)
        return
    try:
        context.kafka = clients.admin(
            context.settings.kafka,
            client_id="streamguard-status",
            bootstrap_timeout_ms=round(_ANSWER_S * 1000),
            request_timeout_ms=round(_ANSWER_S * 1000),
        )
        connections.callback(context.kafka.close)
        context.kafka.list_topics()
    except KafkaError as error:
        context.kafka, context.kafka_error = None, f"{type(error).__name__}: {error}".removesuffix(": ")
