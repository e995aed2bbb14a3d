"""A connection that ends in the middle of a COPY: an error with the server's reason, and nothing on stderr."""

from __future__ import annotations

import threading

import psycopg2
import pytest

from streamguard.database.copy import copy_text
from streamguard.database.engine import is_outage
from tests.support.postgres import EmbeddedPostgres

ROWS = "".join(f"SECRET-{number}\n" for number in range(200_000))
NOT_THIS_TIME = 20
"""Where in a COPY the server ends it is chance; of so many, some are hit in the middle."""


def test_a_connection_that_is_ended_by_the_server(
    postgres: EmbeddedPostgres, capfd: pytest.CaptureFixture[str]
) -> None:
    postgres.query("CREATE TABLE t (a TEXT)")
    reasons: set[str] = set()
    for _ in range(NOT_THIS_TIME):
        connection = postgres.connect()
        kill = "SELECT pg_terminate_backend(%s)"
        killer = threading.Thread(target=postgres.query, args=(kill, connection.info.backend_pid))
        with connection.cursor() as cursor, pytest.raises(psycopg2.OperationalError) as caught:
            cursor.execute("BEGIN")
            killer.start()
            for _ in range(50):
                copy_text(cursor, "COPY t FROM STDIN", ROWS)
        killer.join()
        connection.close()
        assert is_outage(caught.value)
        reasons.add(str(caught.value))
        if "terminating connection due to administrator command" in reasons:
            break
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert "terminating connection due to administrator command" in reasons
    assert not [reason for reason in reasons if "SECRET" in reason]


def test_a_row_that_does_not_fit_is_the_error_of_the_database(postgres: EmbeddedPostgres) -> None:
    postgres.query("CREATE TABLE n (a INT)")
    connection = postgres.connect()
    with connection.cursor() as cursor, pytest.raises(psycopg2.errors.InvalidTextRepresentation):
        copy_text(cursor, "COPY n FROM STDIN", "x\n")
    connection.close()
