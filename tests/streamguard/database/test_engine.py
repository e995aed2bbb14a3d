"""Connections: a process that stops in the middle of a database transaction does not keep its locks."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from streamguard.config import load_settings
from streamguard.database import engine, is_outage, make_engine
from streamguard.database.locks import Lock
from tests.support.broker import free_port
from tests.support.postgres import EmbeddedPostgres


def test_a_session_idle_in_its_transaction_loses_its_locks(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_MAX_IDLE_IN_TRANSACTION_MS", 300)
    frozen, other = (make_engine(load_settings(database_url=postgres.url())) for _ in range(2))
    take = text("SELECT pg_advisory_xact_lock(:lock)")
    with frozen.connect() as connection:
        connection.execute(take, {"lock": int(Lock.STORE)})
        started = time.monotonic()
        with other.begin() as free:
            free.execute(take, {"lock": int(Lock.STORE)})
        assert time.monotonic() - started < 5
        with pytest.raises(DBAPIError) as raised:
            connection.execute(text("SELECT 1"))
        assert is_outage(raised.value), "to be tried again, not a fault of the data"
        connection.invalidate()
    frozen.dispose()
    other.dispose()


def test_an_error_quotes_no_values(postgres: EmbeddedPostgres) -> None:
    """It may be logged with its traceback."""
    made = make_engine(load_settings(database_url=postgres.url()))
    with made.connect() as connection, pytest.raises(DBAPIError) as raised:
        connection.execute(
            text("SELECT 1 / length(:empty) FROM (SELECT CAST(:account AS TEXT)) a"), {"empty": "", "account": "ACC-1"}
        )
    made.dispose()
    assert "ACC-1" not in str(raised.value)


LIBPQ = {
    "PGSERVICE": "nowhere",
    "PGHOSTADDR": "192.0.2.1",
    "PGSSLMODE": "require",
    "PGTZ": "Nowhere",
    "PGTARGETSESSIONATTRS": "standby",
}
"""What a person may have set for another database."""
SELECT_ONE = """
from sqlalchemy import text
from streamguard.config import get_settings
from streamguard.database import make_engine
with make_engine(get_settings()).connect() as connection:
    print(connection.scalar(text("SELECT 1")))
"""


@pytest.mark.parametrize("names", [[name] for name in LIBPQ] + [list(LIBPQ)], ids=[*LIBPQ, "all"])
def test_what_libpq_reads_from_the_environment_is_not_for_the_embedded_database(
    postgres: EmbeddedPostgres, names: list[str]
) -> None:
    given = {"STREAMGUARD_POSTGRES_PORT": str(postgres.port)} | {name: LIBPQ[name] for name in names}
    done = run(SELECT_ONE, postgres, given)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


def test_the_doctor_does_without_what_libpq_reads_too(postgres: EmbeddedPostgres) -> None:
    looks = "from streamguard.stack.doctor.run import examine; print([one.check for one in examine().unchecked])"
    done = run(looks, postgres, {"STREAMGUARD_POSTGRES_PORT": str(postgres.port), "PGSERVICE": "nowhere"})
    assert done.returncode == 0 and "Version of Postgres" not in done.stdout, done.stdout + done.stderr


def test_what_libpq_reads_from_the_environment_is_for_a_database_elsewhere(postgres: EmbeddedPostgres) -> None:
    given = {"STREAMGUARD_POSTGRES_PORT": str(free_port()), "PGSERVICE": "nowhere"}
    done = run(SELECT_ONE, postgres, given)
    assert done.returncode != 0 and 'definition of service "nowhere" not found' in done.stderr


def run(program: str, postgres: EmbeddedPostgres, given: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A process of the application that has these variables."""
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "DATABASE_URL": postgres.url(), **given},
        capture_output=True,
        text=True,
        timeout=60,
    )
