"""A ksqlDB server with TLS and logins: its clients use it, and say in one sentence why they cannot."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from streamguard.config import UserError, load_settings
from streamguard.config.ksqldb import Ksqldb
from streamguard.sqldeploy import DeployError
from streamguard.sqldeploy.console import ServerUnavailable, parts_of, send
from streamguard.sqldeploy.state import Server
from streamguard_ksql.shell.main import Default
from streamguard_ksql.shell.main import main as shell
from tests.support.broker import free_port
from tests.support.ksqldb import KsqlServerProcess, running_server
from tests.support.project import PROJECT_ROOT
from tests.support.tls import Authority, Certificate

PASSWORD = "geheim: ä/@%"
USER = "wanda"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[KsqlServerProcess]:
    folder = tmp_path_factory.mktemp("secured")
    command = [sys.executable, "-m", "streamguard_ksql.server.add_user", "--data-dir", str(folder / "ksql"), USER]
    subprocess.run(command, input=PASSWORD + "\n", check=True, text=True)
    made = authority.issue()
    settings = ["authentication.method=BASIC", f"ssl.certificate.location={made.file}"]
    options = [word for given in (*settings, f"ssl.key.location={made.key}") for word in ("--set", given)]
    client = {"auth": (USER.encode(), PASSWORD.encode()), "verify": str(authority.file)}
    with running_server(folder, *options, scheme="https", client=client) as server:
        yield server


@pytest.fixture
def known(engine: KsqlServerProcess, authority: Authority) -> Ksqldb:
    return Ksqldb(engine.url, USER, PASSWORD, authority.file)


class _Silent(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None: ...


@contextmanager
def tls_server(made: Certificate | None) -> Iterator[str]:
    """A web server with a certificate, or without TLS; HOST:PORT."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Silent)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a handshake that fails is what is tested
    if made is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made.file, made.key)
        # The handshake belongs to the connection's own thread, not to the one that accepts.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def all_ways(server: Ksqldb, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What each client says: deployment, status, readiness, the desk's SQL page, the shell."""
    said = [str(Server(server).problem(10))]
    calls: list[Callable[[], Any]] = [
        lambda: Server(server).execute("SHOW QUERIES;"),
        lambda: Server(server).info(),
        lambda: Server(server).wait_ready(60),
        lambda: send(server, parts_of("SHOW QUERIES;", {})[0]),
    ]
    for call in calls:
        with pytest.raises((DeployError, ServerUnavailable)) as caught:
            call()
        said.append(str(caught.value))
    ca_file = None if server.ca_file is None else str(server.ca_file)
    default = Default(server.url, server.username or None, server.password or None, ca_file)
    assert shell(["-e", "SHOW QUERIES;"], default) == 1
    said.append(capsys.readouterr().err.rstrip("\n"))
    return said


def test_clients_log_in(known: Ksqldb, capsys: pytest.CaptureFixture[str]) -> None:
    server = Server(known)
    assert (server.problem(), server.running(), server.figures()) == (None, [], [])
    assert server.info()["serverStatus"] == "RUNNING"
    with closing(send(known, parts_of("SHOW STREAMS;", {})[0])) as answer:
        assert answer.json()[0]["@type"] == "streams"
    assert shell(["-e", "SHOW QUERIES;"], Default(known.url, USER, PASSWORD, str(known.ca_file))) == 0
    assert "Query" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("user", "password", "who"),
    [(USER, "wrong", "the user wanda"), ("nobody", PASSWORD, "the user nobody"), ("", "", "a request without a login")],
)
def test_a_wrong_login_is_one_sentence(
    known: Ksqldb, capsys: pytest.CaptureFixture[str], user: str, password: str, who: str
) -> None:
    for said in all_ways(replace(known, username=user, password=password), capsys):
        assert f"refuses {who}" in said and "\n" not in said
        assert PASSWORD not in said
        assert "STREAMGUARD_KSQLDB_USERNAME" in said or "give -u NAME" in said


def test_a_certificate_that_is_not_trusted_is_one_sentence(
    authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stranger = Authority(tmp_path)
    cases = [
        (authority.issue("expired", "IP:127.0.0.1", days=-1), "its certificate has expired: renew it"),
        (
            authority.issue("other", "DNS:sql.example"),
            "its certificate is not for 127.0.0.1: use a name that it is for",
        ),
        (stranger.issue(), "its certificate is of no authority that is known here ("),
    ]
    for made, reason in cases:
        with tls_server(made) as address:
            server = Ksqldb(f"https://{address}", USER, PASSWORD, authority.file)
            for said in all_ways(server, capsys):
                assert f"o ksqlDB server answers at https://{address}" in said and reason in said and "\n" not in said
            problem = Server(server).problem()
            assert problem is not None and problem.permanent


def test_tls_on_one_side_only_is_one_sentence(
    known: Ksqldb, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    for said in all_ways(replace(known, url=known.url.replace("https:", "http:")), capsys):
        assert "it speaks TLS: its address begins with https://" in said and "\n" not in said
    with tls_server(None) as address:
        for said in all_ways(Ksqldb(f"https://{address}", USER, PASSWORD, authority.file), capsys):
            assert "it does not speak TLS: its address begins with http://" in said and "\n" not in said


def test_silence_and_nobody_may_pass(known: Ksqldb) -> None:
    nobody = Server(f"http://127.0.0.1:{free_port()}").problem()
    assert nobody is not None and "nothing listens there" in str(nobody) and not nobody.permanent


# --- settings ---------------------------------------------------------------------------------------------------------


def test_a_login_in_the_address_is_moved_out_of_it(known: Ksqldb) -> None:
    url = "https://wanda:geheim%3A%20%C3%A4%2F%40%25@" + known.url.removeprefix("https://")
    settings = load_settings(ksqldb_url=url, ksqldb_ssl_cafile=known.ca_file)
    assert settings.ksqldb == known and settings.ksqldb_url == known.url
    assert PASSWORD not in f"{settings!r} {settings.ksqldb!r} {settings.ksqldb}"
    assert load_settings(**_fields(settings.environment)).ksqldb == known
    assert Server(settings.ksqldb).problem() is None


def _fields(variables: dict[str, str]) -> dict[str, str]:
    return {name.removeprefix("STREAMGUARD_").lower(): value for name, value in variables.items()}


def test_the_password_may_be_in_a_file(known: Ksqldb, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(PASSWORD + "\n")
    given = {"ksqldb_username": USER, "ksqldb_password_file": tmp_path / "password", "ksqldb_ssl_cafile": known.ca_file}
    assert load_settings(ksqldb_url=known.url, **given).ksqldb == known


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ksqldb_username": "wanda"}, "STREAMGUARD_KSQLDB_USERNAME and STREAMGUARD_KSQLDB_PASSWORD belong together"),
        ({"ksqldb_password": "x"}, "belong together"),
        (
            {"ksqldb_username": "x", "ksqldb_password_file": "/none"},
            "STREAMGUARD_KSQLDB_PASSWORD_FILE: the file /none cannot",
        ),
        ({"ksqldb_ssl_cafile": "/none"}, "STREAMGUARD_KSQLDB_SSL_CAFILE: the file /none cannot be read"),
        ({"ksqldb_key": "/etc/hosts"}, "STREAMGUARD_KSQLDB_KEY is the key of a certificate"),
        (
            {"ksqldb_url": "ftp://wanda:geheim@host"},
            "KSQLDB_URL: a URL is expected, such as http://127.0.0.1:8088, not",
        ),
        ({"database_url": "mysql://wanda:geheim@host/x"}, "DATABASE_URL: a Postgres URL is expected"),
    ],
)
def test_settings_that_cannot_be_are_one_sentence(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        load_settings(**given)
    assert said in str(caught.value) and "geheim" not in str(caught.value)


def test_a_file_of_authorities_goes_before_those_of_the_environment(
    known: Ksqldb, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(Authority(tmp_path).file))
    assert Server(known).problem() is None
    assert "of no authority" in str(Server(replace(known, ca_file=None)).problem())


def test_no_password_is_in_the_list_of_processes_or_in_what_a_command_says(known: Ksqldb, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "KSQLDB_URL": known.url,
        "STREAMGUARD_KSQLDB_USERNAME": known.username,
        "STREAMGUARD_KSQLDB_SSL_CAFILE": str(known.ca_file),
        "STREAMGUARD_STATE_DIR": str(tmp_path),
    }
    command = [str(PROJECT_ROOT / ".venv" / "bin" / "streamguard"), "deploy", "missing.sql"]
    for password in (PASSWORD, "wrong"):
        given = {**environment, "STREAMGUARD_KSQLDB_PASSWORD": password}
        done = subprocess.run(command, env=given, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and password not in done.stdout + done.stderr and "Traceback" not in done.stderr
