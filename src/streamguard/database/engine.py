"""The connection to the database, and what its errors mean."""

from __future__ import annotations

import orjson
import psycopg2
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from streamguard.config import Settings

_MAX_IDLE_IN_TRANSACTION_MS = 10_000
"""How long a process may do nothing inside a database transaction: a frozen one would keep its locks for ever."""

_OUTAGES = ("08", "25006", "25P03", "40", "53", "55", "57", "58")
"""SQLSTATEs: connection, read-only, idle for too long, to be tried again, resources (disk full), locks, operator or
shutdown, system."""


def make_engine(settings: Settings, name: str = "streamguard", pages: int = 0) -> Engine:
    """An engine whose connections are checked before use and that gives up on a dead host after 5 seconds.

    `name` is the application name of its connections in `pg_stat_activity`; `pages` is how many threads ask at a time beside the
    three connections that every process may keep.
    """
    given = settings.database.parameters
    options = f"-c timezone=UTC -c idle_in_transaction_session_timeout={_MAX_IDLE_IN_TRANSACTION_MS}"
    return create_engine(
        settings.database_url,
        pool_size=3 + pages,
        max_overflow=2,
        pool_pre_ping=True,
        # An error that is logged would quote them: accounts, addresses, reasons.
        hide_parameters=True,
        json_deserializer=orjson.loads,
        connect_args={
            "connect_timeout": int(given.get("connect_timeout", 5)),
            "application_name": name,
            "options": " ".join(filter(None, (given.get("options"), options))),
        },
    )


def is_outage(error: BaseException) -> bool:
    """Whether an error means that the database is unavailable (retry), not that the request was wrong."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    state = sqlstate(error)
    if state is not None:
        return state.startswith(_OUTAGES)
    # A broken connection has no SQLSTATE.
    cause = getattr(error, "orig", None) or error
    return isinstance(cause, psycopg2.OperationalError | psycopg2.InterfaceError | OperationalError | InterfaceError)


def sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE of an error of the database, if it has one."""
    state = getattr(getattr(error, "orig", None) or error, "pgcode", None)
    return str(state) if state else None


def error_message(error: BaseException) -> str:
    """The first line of the database's message, without SQLAlchemy's wrapping."""
    cause = getattr(error, "orig", None) or error
    lines = [line.strip() for line in str(cause).strip().splitlines() if line.strip()]
    return lines[0] if lines else type(cause).__name__
