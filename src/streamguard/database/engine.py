"""The way to the database: an engine on `DATABASE_URL`, and the schema laid from `docker/init-db.sql`."""

from __future__ import annotations

import psycopg2
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from streamguard.config import Settings
from streamguard.config.resources import schema_file
from streamguard.database.fraud import STORE_LOCK

_SCHEMA_LOCK = 5_347_001
"""Advisory lock: two processes that lay the schema at once would trip over each other's CREATEs."""

_LONGEST_PAUSE_MS = 10_000
"""How long a process may do nothing in the middle of a database transaction: a frozen one would keep its locks for ever."""

_OUTAGES = ("08", "25006", "25P03", "40", "53", "55", "57", "58")
"""SQLSTATEs: connection, read-only, paused for too long, to be tried again, resources (disk full), locks, operator or
shutdown, system."""


def make_engine(settings: Settings, name: str = "streamguard") -> Engine:
    """An engine whose connections are checked before use and that gives up on a dead host after 5 seconds.

    `name` is what `pg_stat_activity` calls its connections.
    """
    return create_engine(
        settings.database_url,
        pool_size=3,
        max_overflow=2,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": 5,
            "application_name": name,
            "options": f"-c timezone=UTC -c idle_in_transaction_session_timeout={_LONGEST_PAUSE_MS}",
        },
    )


def lay_schema(engine: Engine) -> None:
    """Run `docker/init-db.sql`: makes what is missing, touches nothing that is there.

    It waits for those who write and they for it: it locks the tables in another order than they do.
    """
    statements = schema_file().read_text(encoding="utf-8")
    with engine.begin() as connection:
        cursor = connection.connection.cursor()
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (STORE_LOCK,))
        cursor.execute("SET LOCAL client_min_messages = warning")
        cursor.execute(statements)


def is_outage(error: BaseException) -> bool:
    """Whether an error says that the database is away (wait and try again), not that the request was wrong."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    state = state_of(error)
    if state is not None:
        return state.startswith(_OUTAGES)
    # A connection that breaks has no state to tell.
    cause = getattr(error, "orig", None) or error
    return isinstance(cause, psycopg2.OperationalError | psycopg2.InterfaceError | OperationalError | InterfaceError)


def state_of(error: BaseException) -> str | None:
    """The SQLSTATE of an error of the database, if it has one."""
    state = getattr(getattr(error, "orig", None) or error, "pgcode", None)
    return str(state) if state else None


def sentence_of(error: BaseException) -> str:
    """The first line of what the database said, without SQLAlchemy's wrapping."""
    cause = getattr(error, "orig", None) or error
    lines = [line.strip() for line in str(cause).strip().splitlines() if line.strip()]
    return lines[0] if lines else type(cause).__name__
