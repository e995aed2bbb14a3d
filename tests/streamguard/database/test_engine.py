"""Connections: a process that stops in the middle of a database transaction does not keep its locks."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from streamguard.config import load_settings
from streamguard.database import engine, is_outage, make_engine
from streamguard.database.locks import Lock
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
