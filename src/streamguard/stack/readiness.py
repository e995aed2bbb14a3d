"""Readiness: a part is ready when it answers as its clients need it to; never after a number of seconds."""

from __future__ import annotations

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
from streamguard.consumer import CONSUMER_NAME
from streamguard.database import error_message, make_engine
from streamguard.database.trust import certificate_problem
from streamguard.kafka.diagnosis import ANSWER_S, Problem, diagnosis
from streamguard.sqldeploy.state import Server
from streamguard.stack.errors import StackError
from streamguard.stack.logs import last_log_line
from streamguard.stack.parts import Part
from streamguard.stack.supervisor import Supervisor

Probe = Callable[[], "str | Problem | None"]
"""None when ready, else what is missing."""


_PASSING = ("starting up", "shutting down", "recovery", "not accepting", "too many clients", "slots", "EOF", "closed")
"""Parts of the messages of a server that takes connections later."""

_OTHER_PASSWORD = (
    "Postgres refuses the password of {user}: the database was made with another one; set the variable"
    " STREAMGUARD_POSTGRES_PASSWORD (or DATABASE_URL) to that, or change the password in the database too"
)


def postgres_probe(settings: Settings) -> Problem | None:
    """Ready when the application's role can log in."""
    address = settings.database
    try:
        psycopg2.connect(**{"connect_timeout": 2, **address.connection}).close()
    except psycopg2.OperationalError as error:
        reason = error_message(error)
        if "password authentication failed" in reason and "postgres" not in settings.external:
            return Problem(_OTHER_PASSWORD.format(user=address.user), permanent=True)
        if "certificate" in reason and (problem := certificate_problem(address)) is not None:
            return Problem(problem, permanent=True)
        refused = "FATAL:" in reason or "SSL" in reason or "certificate" in reason
        return Problem(reason, permanent=refused and not any(passing in reason for passing in _PASSING))
    return None


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


def kafka_probe(settings: Settings, timeout_s: float = ANSWER_S) -> Problem | None:
    """Ready when one of the addresses answers, and takes the login (the broker listens only after recovery)."""
    return diagnosis(settings.kafka, timeout_s)


def ksqldb_probe(settings: Settings, timeout_s: float = 2.0) -> Problem | None:
    """Ready when /healthcheck says healthy."""
    problem = Server(settings.ksqldb).problem(timeout_s)
    return None if problem is None else Problem(str(problem), problem.permanent)


def engines_probe(settings: Settings, number: int) -> str | None:
    """Ready when so many SQL engines share the service id."""
    found = len(Server(settings.ksqldb).engines())
    return None if found >= number else f"{found} of {number} engines share the rules"


def wait(part: Part, probe: Probe, supervisor: Supervisor | None, logs: Path, timeout_s: float = 60.0) -> None:
    """Return when `probe` is satisfied. Raises StackError with the part's last log line if it ends or takes too long."""
    deadline = time.monotonic() + timeout_s
    asked = 0
    while (missing := probe()) is not None:
        asked += 1
        if isinstance(missing, Problem) and missing.permanent:
            raise StackError(f"{part.name} cannot be used: {missing}")
        # A process that cannot start is not waited for until the time is over.
        if supervisor is not None and asked % 10 == 0 and _has_ended(supervisor, part.name):
            raise StackError(f"{part.name} does not start: {last_log_line(logs, part.name)}")
        if time.monotonic() > deadline:
            raise StackError(
                f"{part.name} is not ready after {timeout_s:.0f} s ({missing}): {last_log_line(logs, part.name)}"
            )
        time.sleep(0.05)


EXTERNAL_S = 10.0
"""How long a part that is somebody else's may take to answer."""


def wait_external(name: str, variable: str, probe: Probe) -> None:
    """Return when a part that is somebody else's answers. Raises StackError, at once for what does not pass by waiting."""
    deadline = time.monotonic() + EXTERNAL_S
    while (missing := probe()) is not None:
        if (isinstance(missing, Problem) and missing.permanent) or time.monotonic() > deadline:
            raise StackError(
                f"{name} at the given address ({variable}) cannot be used: {missing}; without {variable} an embedded one"
                " is started"
            )
        time.sleep(0.1)


def _has_ended(supervisor: Supervisor, name: str) -> bool:
    process = supervisor.processes().get(name)
    return process is None or process.state in ("FATAL", "BACKOFF", "EXITED", "STOPPED")
