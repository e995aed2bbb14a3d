"""A Postgres with TLS: the embedded one has none, so Debian's is started."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest

from tests.support.broker import free_port
from tests.support.tls import Authority

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


@dataclass
class TlsPostgres:
    """A server that takes logins over TLS alone."""

    port: int
    authority: Authority
    folder: Path

    def url(self, sslmode: str = "verify-full", host: str = "localhost", password: str = "s3cret") -> str:
        parameters = f"sslmode={sslmode}" + (f"&sslrootcert={self.authority.file}" if "verify" in sslmode else "")
        return f"postgresql://ana:{password}@{host}:{self.port}/fraud?{parameters}"


@contextmanager
def tls_postgres(folder: Path, days: int = 2) -> Iterator[TlsPostgres]:
    """A server that works in `folder`, whose certificate lasts `days`; the test is skipped without Debian's Postgres."""
    if not PROGRAMS or shutil.which("psql") is None:
        pytest.skip("Debian's postgresql is not installed")
    authority = Authority(folder / "tls")
    certificate = authority.issue(hosts="DNS:localhost", days=days)
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
