"""The way to the database: an engine on `DATABASE_URL`, and the schema laid from `docker/init-db.sql`."""

from __future__ import annotations

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from streamguard.config import PROJECT_ROOT, Settings

SCHEMA_FILE = PROJECT_ROOT / "docker" / "init-db.sql"

_SCHEMA_LOCK = 5_347_001
"""Advisory lock: two processes that lay the schema at once would trip over each other's CREATEs."""


def make_engine(settings: Settings, name: str = "streamguard") -> Engine:
    """An engine whose connections are checked before use and that gives up on a dead host after 5 seconds.

    `name` is what `pg_stat_activity` calls its connections.
    """
    return create_engine(
        settings.database_url,
        pool_size=3,
        max_overflow=2,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 5, "application_name": name, "options": "-c timezone=UTC"},
    )


def lay_schema(engine: Engine) -> None:
    """Run `docker/init-db.sql`: makes what is missing, touches nothing that is there."""
    statements = SCHEMA_FILE.read_text(encoding="utf-8")
    with engine.begin() as connection:
        cursor = connection.connection.cursor()
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (_SCHEMA_LOCK,))
        cursor.execute("SET LOCAL client_min_messages = warning")
        cursor.execute(statements)


def is_outage(error: BaseException) -> bool:
    """Whether an error says that the database is away (wait and try again), not that the request was wrong."""
    if isinstance(error, DBAPIError):
        if error.connection_invalidated or isinstance(error, InterfaceError | OperationalError):
            return True
        error = error.orig if error.orig is not None else error
    # 08: connection; 53: resources (disk full, too many connections); 57P: operator or shutdown; 40: try again.
    code = getattr(error, "pgcode", None) or getattr(error, "sqlstate", None) or ""
    if code.startswith(("08", "53", "57P", "40", "58")):
        return True
    return type(error).__name__ in ("OperationalError", "InterfaceError")


def sentence_of(error: BaseException) -> str:
    """The first line of what the database said, without SQLAlchemy's wrapping."""
    cause = getattr(error, "orig", None) or error
    lines = [line.strip() for line in str(cause).strip().splitlines() if line.strip()]
    return lines[0] if lines else type(cause).__name__
