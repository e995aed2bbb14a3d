"""The embedded Postgres: made whole or not at all, let in by password only, back after a kill -9 in mid-work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import psycopg2
import pytest

from streamguard.config import load_settings
from streamguard.stack import passwords
from streamguard.stack import postgres as embedded
from streamguard.stack.postgres import clear_remains
from streamguard.stack.privileges import dropper
from streamguard.stack.readiness import postgres_probe
from tests.support.broker import free_port
from tests.support.postgres import EmbeddedPostgres

pytestmark = pytest.mark.integration


@pytest.fixture
def own_server(tmp_path: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(tmp_path / "deep" / "postgres", free_port())


def test_it_survives_kill_9_with_a_query_under_way(own_server: EmbeddedPostgres) -> None:
    own_server.data_dir.parent.mkdir()
    own_server.start()
    try:
        own_server.query("CREATE TABLE kept (n INT)")
        own_server.query("INSERT INTO kept SELECT generate_series(1, 1000)")
        busy = threading.Thread(target=_ignore_cut, args=(own_server, "SELECT pg_sleep(30)"))
        busy.start()
        own_server.kill()
        own_server.start()
        busy.join(timeout=10)
        assert own_server.query("SELECT count(*) FROM kept") == [(1000,)]
        assert own_server.process is not None
        process = psutil.Process(own_server.process.pid)
        assert process.name() == "postgres", "the supervised process is the postmaster itself"
        assert process.uids().effective != 0
    finally:
        own_server.kill()


def test_a_half_made_cluster_is_made_again_and_a_second_server_is_refused(own_server: EmbeddedPostgres) -> None:
    half_made = own_server.data_dir.with_name("postgres.new")
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18")
    own_server.start()
    try:
        command = [sys.executable, "-m", "streamguard.cli", "postgres", "--data-dir", str(own_server.data_dir)]
        second = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), timeout=30)
        assert second.returncode == 1
        assert "already works on" in second.stderr
        assert "Traceback" not in second.stderr
    finally:
        own_server.kill()


def test_nobody_gets_in_without_the_password(postgres_server: EmbeddedPostgres) -> None:
    for user, password in (("streamguard", "wrong"), ("postgres", ""), ("postgres", "streamguard_2024")):
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(
                host="127.0.0.1", port=postgres_server.port, user=user, password=password, dbname="streamguard"
            )


def test_a_password_that_changes_after_the_first_start_is_the_one_that_counts(own_server: EmbeddedPostgres) -> None:
    own_server.data_dir.parent.mkdir()
    own_server.start()
    own_server.kill(signal.SIGINT)
    noted = own_server.data_dir / "streamguard.password"
    assert noted.stat().st_mode & 0o777 == 0o600 and "streamguard_2024" not in noted.read_text()
    for before in (noted.read_text(), None):
        if before is None:
            noted.unlink()  # as in a folder that an earlier version made
        own_server.password = "it's \\ a % new one" if before else "streamguard_2024"
        own_server.start()
        assert own_server.query("SELECT current_user") == [("streamguard",)]
        own_server.kill(signal.SIGINT)
    state = own_server.data_dir.parent
    default = load_settings(state_dir=state)
    assert passwords.keep(default) is default, "a database of an earlier version keeps its password"
    own_server.password = "another"
    own_server.start()
    own_server.kill(signal.SIGINT)
    # Its file is gone: it does not fall back to the password that everybody knows.
    assert len(passwords.keep(default).database.password) == 32


ROLES = [
    "CREATE ROLE shut NOLOGIN PASSWORD 'p'",
    "CREATE ROLE crowded LOGIN CONNECTION LIMIT 0 PASSWORD 'p'",
    "CREATE ROLE usual LOGIN PASSWORD 'p'",
]
REFUSED = {
    "shut:p": 'role "shut" is not permitted to log in',
    "crowded:p": 'too many connections for role "crowded"',
    "usual:wrong": "Postgres refuses the password of usual: the database was made with another one; set the variable "
    "STREAMGUARD_POSTGRES_PASSWORD (or DATABASE_URL)",
}


def test_a_role_that_is_refused_is_a_sentence_at_once(own_server: EmbeddedPostgres) -> None:
    own_server.data_dir.parent.mkdir()
    embedded.prepare(own_server.data_dir, load_settings(database_url=own_server.url()))
    drop = dropper([own_server.data_dir / "x", embedded.programs_dir() / "postgres"])
    embedded._single_user(own_server.data_dir, "postgres", ROLES, drop)
    own_server.start()
    try:
        for login, said in REFUSED.items():
            url = f"postgresql://{login}@127.0.0.1:{own_server.port}/streamguard"
            problem = postgres_probe(load_settings(database_url=url, postgres_port=own_server.port))
            assert problem is not None and problem.permanent
            assert said in str(problem)
        assert postgres_probe(load_settings(database_url=own_server.url())) is None
    finally:
        own_server.kill()
    problem = postgres_probe(load_settings(database_url=own_server.url()))
    assert problem is not None and not problem.permanent and "Connection refused" in str(problem)


def test_clearing_an_empty_folder_is_nothing(tmp_path: Path) -> None:
    clear_remains(tmp_path)


def _ignore_cut(server: EmbeddedPostgres, statement: str) -> None:
    try:
        server.query(statement)
    except psycopg2.Error:
        return
