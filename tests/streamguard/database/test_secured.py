"""A Postgres with TLS, and roles that may not do everything. The embedded one has no TLS: Debian's is started."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from sqlalchemy import text

from streamguard.config import SettingsError, load_settings
from streamguard.database import apply_schema, make_engine
from streamguard.database.migrations import MayNotCreate
from streamguard.stack.backup.dump import dump, snapshot
from streamguard.stack.readiness import postgres_probe
from tests.support.postgres import EmbeddedPostgres
from tests.support.tls import Authority
from tests.support.tls_postgres import TlsPostgres, tls_postgres


def test_a_role_that_may_not_create_tables_is_one_sentence(postgres: EmbeddedPostgres) -> None:
    postgres.query("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    postgres.query("REVOKE CREATE ON SCHEMA public FROM streamguard")
    engine = make_engine(load_settings(database_url=postgres.url()))
    try:
        with pytest.raises(MayNotCreate) as caught:
            apply_schema(engine)
    finally:
        engine.dispose()
    assert str(caught.value).startswith(
        "the role streamguard may not create or change tables in the database streamguard"
    )
    assert 'GRANT CREATE ON SCHEMA public TO "streamguard"' in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parameters_of_the_url_reach_every_client() -> None:
    url = (
        "postgres://u:p@db.example.org/x?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem&options=-csearch_path%3Dfraud"
    )
    address = load_settings(database_url=url).database
    assert address.libpq_environment.items() >= {
        "PGSSLMODE": "verify-full", "PGSSLROOTCERT": "/etc/ca.pem", "PGOPTIONS": "-csearch_path=fraud",
    }.items()  # fmt: skip
    assert address.connection["sslmode"] == "verify-full"
    assert load_settings(database_url="postgresql://u:p@/x?host=/run/pg&port=6000").database.connection == {
        "host": "/run/pg", "port": 6000, "user": "u", "password": "p", "dbname": "x",
    }  # fmt: skip


@pytest.mark.parametrize("query", ["ssl=true", "sslmode=verify-full&sslrotcert=x", "port=x"])
def test_a_parameter_that_libpq_does_not_have_is_one_sentence(query: str) -> None:
    with pytest.raises(SettingsError, match=r"^DATABASE_URL: .+"):
        load_settings(database_url=f"postgresql://u:p@/x?{query}")


def test_options_of_the_url_are_kept(postgres: EmbeddedPostgres) -> None:
    url = f"{postgres.url()}?options=-cstatement_timeout%3D1234&connect_timeout=7"
    engine = make_engine(load_settings(database_url=url))
    with engine.connect() as connection:
        assert connection.execute(text("SHOW statement_timeout")).scalar() == "1234ms"
        assert connection.execute(text("SHOW timezone")).scalar() == "UTC"
    engine.dispose()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsPostgres]:
    with tls_postgres(tmp_path_factory.mktemp("postgres")) as found:
        yield found


@pytest.mark.soak
def test_schema_copy_and_psql_over_tls(server: TlsPostgres) -> None:
    settings = load_settings(database_url=server.url())
    assert postgres_probe(settings) is None
    engine = make_engine(settings)
    assert "made" in str(apply_schema(engine))
    with engine.begin() as connection:
        cursor = connection.connection.cursor()
        copied = StringIO()
        cursor.copy_expert("COPY (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) TO STDOUT", copied)
        assert copied.getvalue() == "t\n"
    engine.dispose()
    done = subprocess.run(
        [sys.executable, "-m", "streamguard.cli", "psql", "-Atc", "SELECT max(version) > 0 FROM schema_version"],
        env=os.environ | {"DATABASE_URL": server.url()}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == "t\n", done.stderr
    with snapshot(settings) as taken:
        assert b"".join(dump(settings, taken)).startswith(b"PGDMP")


@pytest.mark.soak
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"password": "wrong"}, "password authentication failed"),
        ({"host": "127.0.0.1"}, "has a certificate for another name than 127.0.0.1"),
        ({"sslmode": "disable"}, "no pg_hba.conf entry"),
    ],
)
def test_what_keeps_one_out_is_named_at_once(server: TlsPostgres, change: dict[str, str], said: str) -> None:
    problem = postgres_probe(load_settings(database_url=server.url(**change)))
    assert problem is not None and problem.permanent and said in str(problem)


@pytest.mark.soak
def test_a_certificate_of_another_authority_is_not_taken(server: TlsPostgres, tmp_path: Path) -> None:
    other = Authority(tmp_path)
    problem = postgres_probe(
        load_settings(database_url=server.url().replace(str(server.authority.file), str(other.file)))
    )
    assert problem is not None and problem.permanent
    assert "has a certificate that is not trusted (unable to get local issuer certificate)" in str(problem)
    assert "set the parameter sslrootcert of DATABASE_URL" in str(problem)


@pytest.mark.soak
def test_a_certificate_that_has_expired_is_one_sentence(tmp_path_factory: pytest.TempPathFactory) -> None:
    with tls_postgres(tmp_path_factory.mktemp("postgres"), days=-1) as server:
        problem = postgres_probe(load_settings(database_url=server.url()))
    assert problem is not None and problem.permanent
    assert str(problem) == (
        f"Postgres at localhost:{server.port} has a certificate that has expired: it has to be renewed there"
    )
