"""Basic authentication with roles, and TLS: who is let in, and what a server with wrong settings says."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from streamguard_ksql.server.run import StartError, parse_address
from streamguard_ksql.server.security import Security, SecurityError, security_of
from tests.support.http2 import Http2Client
from tests.support.ksqldb import KsqlServerProcess, running_server
from tests.support.tls import Authority

WRITER, READER, OTHER = ("wanda", "opens everything"), ("rita", "looks: only"), ("otto", "has no role")
PLAIN = ("paul", "in clear text")
JSON = "application/json"
Login = tuple[str, str] | None


def add_user(folder: Path, login: tuple[str, str], *options: str) -> str:
    command = [sys.executable, "-m", "streamguard_ksql.server.add_user", "--data-dir", str(folder), login[0], *options]
    return subprocess.run(command, input=login[1] + "\n", check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[KsqlServerProcess]:
    """A server with TLS and four users."""
    folder = tmp_path_factory.mktemp("secured")
    assert "wanda may log in with the role write" in add_user(folder / "ksql", WRITER)
    add_user(folder / "ksql", READER, "--role", "read")
    add_user(folder / "ksql", OTHER, "--role", "guest")
    with (folder / "ksql" / "users.properties").open("a") as file:
        file.write(f"\n# in clear text, as in ksqlDB's manual\n{PLAIN[0]}: {PLAIN[1]}, guest , write\n")
    made = authority.issue()
    settings = [
        *("--set", "authentication.method=BASIC", "--set", "authentication.realm=bank"),
        *("--set", "authentication.skip.paths=/healthcheck", "--set", f"ssl.certificate.location={made.file}"),
        *("--set", f"ssl.key.location={made.key}"),
    ]
    client = {"auth": WRITER, "verify": str(authority.file)}
    with running_server(folder, *settings, scheme="https", client=client) as server:
        server.ksql(
            "CREATE STREAM kept (id STRING KEY, v INT) WITH (KAFKA_TOPIC='kept', VALUE_FORMAT='JSON', PARTITIONS=1);"
        )
        server.ksql("INSERT INTO kept VALUES ('a', 1);")
        yield server


def get(server: KsqlServerProcess, path: str, login: Login) -> requests.Response:
    return requests.get(server.url + path, auth=login, verify=server.client["verify"], timeout=30)


def error(response: requests.Response) -> tuple[int, int, str]:
    body = response.json()
    assert body["@type"] == "generic_error", body
    return response.status_code, body["error_code"], body["message"]


@pytest.mark.parametrize(
    "login", [None, (WRITER[0], "wrong"), ("nobody", WRITER[1]), (WRITER[0], ""), (READER[0], WRITER[1])]
)
@pytest.mark.parametrize("path", ["/", "/info", "/ksql", "/queries", "/nothing"])
def test_without_a_login_nothing_is_answered(secured: KsqlServerProcess, login: Login, path: str) -> None:
    answer = get(secured, path, login)
    assert error(answer)[:2] == (401, 40100)
    assert answer.headers["www-authenticate"] == 'Basic realm="bank"'


def test_the_path_that_is_skipped_needs_none(secured: KsqlServerProcess) -> None:
    assert get(secured, "/healthcheck", None).json()["isHealthy"] is True


@pytest.mark.parametrize("header", ["Basic", "Basic %%%", "Basic " + base64.b64encode(b"nocolon").decode(), "Bearer x"])
def test_a_wrong_header_is_refused(secured: KsqlServerProcess, header: str) -> None:
    answer = requests.get(
        secured.url + "/info", headers={"Authorization": header}, verify=secured.client["verify"], timeout=30
    )
    assert error(answer)[0] == 401


@pytest.mark.parametrize("login", [WRITER, READER, PLAIN])
def test_users_may_read(secured: KsqlServerProcess, login: Login) -> None:
    assert get(secured, "/info", login).json()["KsqlServerInfo"]["serverStatus"] == "RUNNING"
    for sql in (
        "SHOW STREAMS;",
        "DESCRIBE kept;",
        "EXPLAIN SELECT * FROM kept EMIT CHANGES;",
        "LIST FUNCTIONS; SHOW QUERIES;",
    ):
        assert secured.post("/ksql", {"ksql": sql}, auth=login).status_code == 200
    body = {"sql": "SELECT * FROM kept;", "properties": {"auto.offset.reset": "earliest"}}
    assert secured.post("/query-stream", body, JSON, auth=login).json()[1:] == [["a", 1]]
    printed = secured.post("/query", {"ksql": "PRINT 'kept' FROM BEGINNING LIMIT 1;"}, auth=login)
    assert printed.status_code == 200 and "rowtime" in printed.text


CHANGES = [
    "CREATE TYPE forbidden AS STRING;",
    "DROP STREAM kept;",
    "INSERT INTO kept VALUES ('b', 2);",
    "CREATE STREAM more AS SELECT * FROM kept;",
    "SHOW STREAMS; TERMINATE ALL;",
    "SET 'auto.offset.reset'='earliest'; PAUSE ALL;",
    "DEFINE x = 'kept'; ALTER STREAM ${x} ADD COLUMN w INT;",
]


@pytest.mark.parametrize("sql", CHANGES)
def test_who_may_read_changes_nothing(secured: KsqlServerProcess, sql: str) -> None:
    before = state(secured)
    status, code, said = error(secured.post("/ksql", {"ksql": sql}, auth=READER))
    assert (status, code) == (403, 40300) and "rita may only read" in said
    assert state(secured) == before


@pytest.mark.parametrize("path", ["/ksql/terminate", "/inserts-stream"])
def test_who_may_read_neither_terminates_nor_inserts(secured: KsqlServerProcess, path: str) -> None:
    assert error(secured.post(path, {"target": "kept"}, auth=READER))[:2] == (403, 40300)
    assert get(secured, "/info", READER).json()["KsqlServerInfo"]["serverStatus"] == "RUNNING"


def test_who_has_no_role_is_told_so(secured: KsqlServerProcess) -> None:
    assert error(get(secured, "/info", OTHER)) == (
        *(403, 40300),
        "The user otto has none of the roles that may use this server: read, write.",
    )


def test_who_reads_closes_no_query_of_another(secured: KsqlServerProcess, authority: Authority) -> None:
    tls = ssl.create_default_context(cafile=str(authority.file))
    header = f"Basic {base64.b64encode(':'.join(WRITER).encode()).decode()}"
    with Http2Client(("127.0.0.1", secured.port), tls=tls, authorization=header) as client:
        query = client.post("/query-stream", {"sql": "SELECT * FROM kept EMIT CHANGES;"})
        query_id = json.loads(client.next_line(query) or "")["queryId"]
        assert error(secured.post("/close-query", {"queryId": query_id}, auth=READER))[0] == 403
        assert secured.post("/close-query", {"queryId": query_id}).status_code == 200
        assert client.next_line(query) is None


def test_over_http2_a_login_is_asked_for_too(secured: KsqlServerProcess, authority: Authority) -> None:
    tls = ssl.create_default_context(cafile=str(authority.file))
    with Http2Client(("127.0.0.1", secured.port), tls=tls) as client:
        refused = client.request("GET", "/info")
        assert json.loads(client.finish(refused))["error_code"] == 40100
        assert refused.status == 401 and refused.headers["www-authenticate"] == 'Basic realm="bank"'


def test_a_new_user_may_log_in_at_once_and_a_changed_password_counts(secured: KsqlServerProcess) -> None:
    for password in ("first", "second"):
        add_user(secured.folder / "ksql", ("nina", password), "--role", "read")
        assert get(secured, "/info", ("nina", password)).status_code == 200
    assert get(secured, "/info", ("nina", "first")).status_code == 401
    assert get(secured, "/info", PLAIN).status_code == 200, "the others stay"


def state(server: KsqlServerProcess) -> Any:
    """What requests could change: the lists of the server, and the records of a topic."""
    listed = server.ksql("LIST STREAMS; LIST TABLES; LIST TYPES; LIST TOPICS; SHOW QUERIES; DESCRIBE kept;")
    return listed, server.rows("SELECT * FROM kept;"), server_status(server)


def server_status(server: KsqlServerProcess) -> str:
    return str(get(server, "/info", WRITER).json()["KsqlServerInfo"]["serverStatus"])


ORDERS = [
    ("/ksql", {"ksql": "INSERT INTO kept VALUES ('forged', 1);"}),
    ("/ksql", {"ksql": "CREATE TYPE forged AS STRING; DROP STREAM kept;"}),
    ("/ksql", {"ksql": "TERMINATE ALL;"}),
    ("/ksql/terminate", {"deleteTopicList": [".*"]}),
    ("/inserts-stream", {"target": "kept"}),
]
WRONG: list[tuple[dict[str, str], Login, int]] = [
    ({"Host": "evil.example"}, WRITER, 403),
    ({"Host": "[::1"}, WRITER, 403),
    ({"Origin": "https://evil.example"}, WRITER, 403),
    ({"Origin": "null"}, WRITER, 403),
    ({"Sec-Fetch-Site": "cross-site"}, WRITER, 403),
    ({"Content-Type": "text/plain"}, WRITER, 415),
    ({"Content-Type": "multipart/form-data; boundary=x"}, WRITER, 415),
    ({}, READER, 403),
    ({}, OTHER, 403),
    ({}, None, 401),
    ({}, (WRITER[0], "wrong"), 401),
    ({}, ("nobody", "wrong"), 401),
    ({"Authorization": "Basic AAAA"}, None, 401),
]


def test_a_thousand_wrong_requests_change_nothing(secured: KsqlServerProcess) -> None:
    before, sent = state(secured), 0
    with requests.Session() as session:
        session.verify, session.trust_env = secured.client["verify"], False
        while sent < 1_000:
            for path, body in ORDERS:
                for headers, login, status in WRONG:
                    given = {"Content-Type": JSON, **headers}
                    answer = session.post(secured.url + path, json.dumps(body), headers=given, auth=login, timeout=30)
                    found, code, said = error(answer)
                    assert (found, code) == (status, status * 100), (path, headers, login, answer.text)
                    assert said.endswith(".") and "\n" not in said
                    sent += 1
    assert state(secured) == before


def test_a_refusal_is_read_whatever_the_size_of_the_request(secured: KsqlServerProcess) -> None:
    body = json.dumps({"ksql": " " * 4_000_000})
    answer = requests.post(secured.url + "/ksql", body, verify=secured.client["verify"], timeout=30)
    assert error(answer)[0] == 401


def test_passwords_are_neither_in_the_log_nor_in_answers(secured: KsqlServerProcess) -> None:
    said = json.dumps(secured.ksql("SHOW PROPERTIES;")) + secured.log_path.read_text()
    assert not any(password in said for _, password in (WRITER, READER, OTHER, PLAIN))


# --- settings that cannot be ------------------------------------------------------------------------------------------


def security(folder: Path, *options: str, listen: str = "127.0.0.1:0") -> Security:
    """What the server makes of its settings before it starts anything."""
    config = dict(option.split("=", 1) for option in options)
    scheme, host, _ = parse_address(config.get("listeners", listen))
    found = security_of(config, folder, scheme)
    found.check_host(host)
    return found


def refused(folder: Path, *options: str, listen: str = "127.0.0.1:0") -> str:
    with pytest.raises((SecurityError, StartError)) as caught:
        security(folder, *options, listen=listen)
    assert "\n" not in str(caught.value)
    return str(caught.value)


BASIC = "authentication.method=BASIC"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            (BASIC,),
            "cannot be read (No such file or directory): add one with python -m streamguard_ksql.server.add_user",
        ),
        (("authentication.method=BEARER",), "authentication.method is NONE or BASIC, not BEARER"),
        (("authentication.methd=BASIC",), "authentication.methd is not a setting of this server"),
        (("authentication.roles=admin",), "authentication.roles has an effect only with authentication.method=BASIC"),
        (("ssl.client.authentication=REQUIRED",), "ssl.client.authentication is not a setting of this server"),
        (("ssl.keystore.location=/x.jks",), "ssl.keystore.location needs ssl.keystore.type=PEM"),
        (("ssl.key.location=/x.pem",), "a key without a certificate"),
        (
            ("ssl.certificate.location=/none.pem",),
            "/none.pem with the key in the same file cannot be used (No such file",
        ),
        (("listeners=https://127.0.0.1:0",), "https needs a certificate: set ssl.certificate.location"),
        (("listeners=http://127.0.0.1:0,http://127.0.0.1:1",), "more than one address"),
        (("listeners=ftp://127.0.0.1:0",), "is not an address of the form"),
    ],
)
def test_settings_that_cannot_be_are_one_sentence(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    assert said in refused(tmp_path, *options)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("fred: OBF:1w8t1tvf1w261w8v1w1c1tvn1w8x,user", "line 1: passwords in the form OBF are not read"),
        ("tom: MD5:164c88b302622e17050af52c89945d44,user", "passwords in the form MD5"),
        ("dick: CRYPT:adpexzg3FUZAk,admin", "passwords in the form CRYPT"),
        ("dick", "line 1: a user is written NAME: PASSWORD,ROLE"),
        ("dick: ,admin", "line 1: the password is empty"),
        ("dick: $argon2id$x,admin", "the hash of the password is none of argon2id"),
        ("# nobody", "has no user: add one"),
    ],
)
def test_a_file_of_users_that_cannot_be_is_one_sentence(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "users"
    file.write_text(line + "\n")
    assert f"chmod 600 {file}" in refused(tmp_path, BASIC, f"authentication.users.file={file}")
    file.chmod(0o600)
    assert said in refused(tmp_path, BASIC, f"authentication.users.file={file}")


def test_an_open_address_needs_logins_and_tls(tmp_path: Path, authority: Authority) -> None:
    add_user(tmp_path, WRITER)
    made = authority.issue("other", "DNS:localhost")
    tls = (f"ssl.certificate.location={made.file}", f"ssl.key.location={made.key}")
    for options in ((), (BASIC,), tls):
        assert "Other machines reach 0.0.0.0" in refused(tmp_path, *options, listen="0.0.0.0:0")
    assert security(tmp_path, BASIC, *tls, listen="0.0.0.0:0").scheme == "https"


def test_a_key_store_may_be_a_pem_file(tmp_path: Path, authority: Authority) -> None:
    made = authority.issue()
    store = tmp_path / "store.pem"
    store.write_text(made.key.read_text() + made.file.read_text())
    assert security(tmp_path, f"ssl.keystore.location={store}", "ssl.keystore.type=PEM").scheme == "https"


def test_an_encrypted_key_needs_its_password(tmp_path: Path, authority: Authority) -> None:
    made = authority.issue()
    key = tmp_path / "encrypted.key"
    encrypt = ["openssl", "ec", "-in", str(made.key), "-aes256", "-passout", "pass:of the key", "-out", str(key)]
    subprocess.run(encrypt, check=True, capture_output=True)
    given = (f"ssl.certificate.location={made.file}", f"ssl.key.location={key}")
    assert "an encrypted key needs ssl.key.password" in refused(tmp_path, *given)
    assert security(tmp_path, *given, "ssl.key.password=of the key").scheme == "https"
