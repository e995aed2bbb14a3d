"""A Postgres with TLS, and roles that may not do everything. The embedded one has no TLS: Debian's is started."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import text

from streamguard.config import SettingsError, load_settings
from streamguard.database import apply_schema, make_engine
from streamguard.database.migrations import MayNotCreate
from streamguard.stack.backup.dump import dump, snapshot
from streamguard.stack.readiness import postgres_probe
from tests.support.broker import free_port
from tests.support.postgres import EmbeddedPostgres
from tests.support.tls import Authority

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


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


@dataclass
class TlsPostgres:
    """A server that takes logins over TLS alone."""

    port: int
    authority: Authority
    folder: Path

    def url(self, sslmode: str = "verify-full", host: str = "localhost", password: str = "s3cret") -> str:
        parameters = f"sslmode={sslmode}" + (f"&sslrootcert={self.authority.file}" if "verify" in sslmode else "")
        return f"postgresql://ana:{password}@{host}:{self.port}/fraud?{parameters}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsPostgres]:
    if not PROGRAMS or shutil.which("psql") is None:
        pytest.skip("Debian's postgresql is not installed")
    folder = tmp_path_factory.mktemp("postgres")
    authority = Authority(folder / "tls")
    certificate = authority.issue(hosts="DNS:localhost")
    data = folder / "data"
    # Postgres does not run as root; another user has to reach the folder.
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    for above in (folder, *folder.parents):
        if user is not None and above.stat().st_uid == 0 and above != Path("/"):
            above.chmod(above.stat().st_mode | 0o011)
    data.mkdir()
    if user is not None:
        os.chown(data, user.pw_uid, user.pw_gid)
        os.chown(certificate.key, user.pw_uid, user.pw_gid)

    def program(name: str, *arguments: str, **options: object) -> list[str]:
        return [str(PROGRAMS[0] / name), *arguments]

    as_user = {"user": user.pw_uid, "group": user.pw_gid} if user is not None else {}
    subprocess.run(
        program("initdb", "-D", str(data), "-U", "owner", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync"),
        check=True, capture_output=True, cwd="/", **as_user,  # type: ignore[call-overload]
    )  # fmt: skip
    (data / "pg_hba.conf").write_text("hostssl fraud ana all scram-sha-256\nhost all owner 127.0.0.1/32 trust\n")
    port = free_port()
    settings = {
        "port": port, "listen_addresses": "localhost", "unix_socket_directories": "", "ssl": "on", "fsync": "off",
        "ssl_cert_file": certificate.file, "ssl_key_file": certificate.key,
    }  # fmt: skip
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            program("postgres", "-D", str(data), *options), stdout=log, stderr=log, cwd="/", **as_user  # type: ignore[call-overload]
        )  # fmt: skip
    try:
        owner = _connected(process, port, folder / "log")
        with owner.cursor() as cursor:
            cursor.execute("CREATE ROLE ana LOGIN PASSWORD 's3cret'")
            cursor.execute("CREATE DATABASE fraud OWNER ana")
        owner.close()
        yield TlsPostgres(port, authority, folder)
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(30)


def _connected(process: subprocess.Popen[bytes], port: int, log: Path) -> psycopg2.extensions.connection:
    deadline = time.monotonic() + 30
    while True:
        try:
            connection = psycopg2.connect(host="127.0.0.1", port=port, user="owner", dbname="postgres")
            connection.autocommit = True
            return connection
        except psycopg2.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text()) from None
            time.sleep(0.05)


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
        ({"host": "127.0.0.1"}, "does not match host name"),
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
    assert problem is not None and problem.permanent and "certificate verify failed" in str(problem)
