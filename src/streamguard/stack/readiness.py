"""Readiness: a part is ready when it answers as its clients need it to; never after a number of seconds."""

from __future__ import annotations

import socket
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import requests
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from streamguard.config import Settings
from streamguard.config.http import http_session
from streamguard.consumer.main import CONSUMER_NAME
from streamguard.database import error_message, make_engine
from streamguard.stack.errors import StackError
from streamguard.stack.logs import last_log_line
from streamguard.stack.parts import Part
from streamguard.stack.supervisor import Supervisor

Probe = Callable[[], "str | None"]
"""None when ready, else what is missing."""


def postgres_probe(settings: Settings) -> str | None:
    """Ready when the application's role can log in. Raises StackError where waiting does not help: it is refused."""
    address = settings.database
    try:
        psycopg2.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            dbname=address.name,
            connect_timeout=2,
        ).close()
    except psycopg2.OperationalError as error:
        said = error_message(error)
        if "FATAL" in said and not any(words in said for words in _NOT_YET):
            raise StackError(_refusal(address.user, said.partition("FATAL:")[2].strip())) from None
        return said
    return None


_NOT_YET = ("starting up", "shutting down", "in recovery", "not yet accepting", "not accepting", "too many clients")
"""What Postgres says of itself for a while."""


def _refusal(user: str, reason: str) -> str:
    if "password authentication failed" in reason:
        return (
            f"Postgres refuses the password of {user}: the database was made with another one; set the variable"
            f" STREAMGUARD_POSTGRES_PASSWORD (or DATABASE_URL) to that, or change the password in the database too"
        )
    return f"Postgres refuses {user} (DATABASE_URL): {reason}"


def consumer_probe(settings: Settings) -> str | None:
    """Ready when it is connected to the database: its imports, its settings and the schema are then right."""
    engine = make_engine(settings)
    try:
        with engine.connect() as connection:
            seen = connection.execute(
                text("SELECT 1 FROM pg_stat_activity WHERE application_name = :name"), {"name": CONSUMER_NAME}
            ).first()
    except DBAPIError as error:
        return error_message(error)
    finally:
        engine.dispose()
    return None if seen else "it is not connected to the database"


def desk_probe(settings: Settings, timeout_s: float = 2.0) -> str | None:
    """Ready when the page of the login answers. A certificate is not checked: the desk's own may be known to nobody here."""
    scheme = "https" if settings.desk_certificate else "http"
    address = f"{scheme}://{settings.desk_host}:{settings.desk_port}"
    root = urlsplit(settings.desk_public_url).path
    try:
        with http_session(address) as session, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = session.get(f"{address}{root}/login", timeout=timeout_s, verify=False)
        return None if answer.ok else f"HTTP {answer.status_code}"
    except requests.RequestException as error:
        return type(error).__name__


def running_probe(supervisor: Supervisor, name: str) -> str | None:
    """Ready when it has outlived its first second."""
    state = supervisor.processes()[name].state
    return None if state == "RUNNING" else state.lower()


def kafka_probe(settings: Settings) -> str | None:
    """Ready when one of the addresses accepts a connection (the broker listens only after recovery)."""
    error_text = ""
    for address in settings.kafka_bootstrap_servers.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=2).close()
            return None
        except OSError as error:
            error_text = f"{address}: {error.strerror or error}"
    return error_text


def ksqldb_probe(settings: Settings, timeout_s: float = 2.0) -> str | None:
    """Ready when /healthcheck says healthy."""
    try:
        with http_session(settings.ksqldb_url) as session:
            answer = session.get(f"{settings.ksqldb_url}/healthcheck", timeout=timeout_s)
        return None if answer.json().get("isHealthy") else answer.text[:200]
    except (requests.RequestException, ValueError, AttributeError) as error:
        return type(error).__name__


def wait(part: Part, probe: Probe, supervisor: Supervisor | None, logs: Path, timeout_s: float = 60.0) -> None:
    """Return when `probe` is satisfied. Raises StackError with the part's last log line if it ends or takes too long."""
    deadline = time.monotonic() + timeout_s
    asked = 0
    while (missing := probe()) is not None:
        asked += 1
        # A process that cannot start is not waited for until the time is over.
        if supervisor is not None and asked % 10 == 0 and _has_ended(supervisor, part.name):
            raise StackError(f"{part.name} does not start: {last_log_line(logs, part.name)}")
        if time.monotonic() > deadline:
            raise StackError(
                f"{part.name} is not ready after {timeout_s:.0f} s ({missing}): {last_log_line(logs, part.name)}"
            )
        time.sleep(0.05)


def _has_ended(supervisor: Supervisor, name: str) -> bool:
    process = supervisor.processes().get(name)
    return process is None or process.state in ("FATAL", "BACKOFF", "EXITED", "STOPPED")
