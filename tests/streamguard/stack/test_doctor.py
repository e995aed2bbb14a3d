"""`streamguard doctor` finds each of these, provoked for real, and names its cure; where all is well it finds nothing."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
from kafka import KafkaAdminClient, KafkaProducer

from streamguard.config import load_settings
from streamguard.database import apply_schema, make_engine
from streamguard.kafka.topics import ensure_topics
from streamguard.stack.doctor import CHECKS, Report, examine, versions
from streamguard.stack.doctor.settings import TITLE
from tests.support import pages
from tests.support.broker import BrokerProcess, free_port
from tests.support.postgres import EmbeddedPostgres
from tests.support.project import PROJECT_ROOT
from tests.support.tls import Authority

OURS = ("STREAMGUARD_", "KAFKA_", "KSQLDB_", "DATABASE_")
OTHERS = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "requests_ca_bundle", "curl_ca_bundle", "ssl_cert_file")


@dataclass
class Ground:
    """A folder to work in, with settings that are right, and what it takes to make them wrong."""

    folder: Path
    patch: pytest.MonkeyPatch
    authority: Authority
    clock: Callable[[], float] = time.time
    undo: list[Callable[[], object]] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def set(self, **variables: object) -> None:
        for name, value in variables.items():
            name = name if name.isupper() and not name.startswith("_") else name.upper()
            self.patch.setenv(
                name if name in ADDRESSES or name.lower() in OTHERS else f"STREAMGUARD_{name}", str(value)
            )

    def write(self, name: str, text: str | bytes, mode: int = 0o600) -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        file.chmod(mode)
        return file

    def examine(self) -> Report:
        return examine(clock=self.clock)


ADDRESSES = ("KAFKA_BOOTSTRAP_SERVERS", "KSQLDB_URL", "DATABASE_URL")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: Authority) -> Iterator[Ground]:
    for name in list(os.environ):
        if name.startswith(OURS) or name.lower() in OTHERS:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    made = Ground(tmp_path, monkeypatch, authority)
    made.set(STATE_DIR=made.state, DESK_PORT=free_port(), METRICS_PORT=0)
    made.set(KAFKA_PORT=free_port(), KSQLDB_PORT=free_port(), POSTGRES_PORT=free_port())
    yield made
    for step in made.undo:
        step()


def said(report: Report) -> list[str]:
    return [f"{one.check}: {one.what} | {one.cure}" for one in report.findings]


def find(report: Report, what: str, cure: str) -> None:
    """One of the findings has these words, in what it says and in its cure."""
    assert [one for one in report.findings if what in one.what and cure in one.cure], said(report)
    assert report.exit_code == 1
    assert all(one.what and one.cure and "\n" not in one.what + one.cure for one in report.findings)


def test_where_all_is_well_nothing_is_found(ground: Ground) -> None:
    report = ground.examine()
    assert said(report) == [] and report.exit_code == 0
    assert {one.is_down for one in report.unchecked} == {True}, "what needs a server is said to be unchecked"
    assert report.made + len(report.unchecked) == len(CHECKS) + 1
    assert not ground.state.exists(), "nothing was made"


def test_the_page_has_each_check_and_no_other() -> None:
    section = pages.read("docs/status.md").split("## How it is set up")[1].split("\n## ")[0]
    titles = re.findall(r"^\| ([A-Z][^|]+?) \|", section, re.MULTILINE)
    assert sorted(titles) == sorted([TITLE, *(one.title for one in CHECKS)])


# --- without a server ---------------------------------------------------------------------------------------------------

Provoke = Callable[[Ground], None]
ALONE: dict[str, tuple[Provoke, str, str]] = {}
"""What is wrong: how to make it so, words of the finding, words of its cure."""


def alone(what: str, cure: str) -> Callable[[Provoke], Provoke]:
    def register(provoke: Provoke) -> Provoke:
        ALONE[provoke.__name__] = provoke, what, cure
        return provoke

    return register


@alone("STREAMGUARD_KAFKA_PROT is not a setting", "name it STREAMGUARD_KAFKA_PORT")
def unknown_variable(ground: Ground) -> None:
    ground.set(KAFKA_PROT=1)


@alone("STREAMGUARD_DESK_PROT in ", "name it STREAMGUARD_DESK_PORT")
def unknown_in_env_file(ground: Ground) -> None:
    ground.write(".env", "STREAMGUARD_DESK_PROT=1\n")


@alone("STREAMGUARD_KAFKA_PORT: Input should be a valid integer", "set STREAMGUARD_KAFKA_PORT to what is expected")
def value_that_is_none(ground: Ground) -> None:
    ground.set(KAFKA_PORT="abc")


@alone("STREAMGUARD_RULES_NIGHT_FROM_HOUR", "set STREAMGUARD_RULES_NIGHT_FROM_HOUR")
def limit_of_a_rule(ground: Ground) -> None:
    ground.set(RULES_NIGHT_FROM_HOUR=99)


@alone(".env is no file", "make it a file")
def env_file_is_a_folder(ground: Ground) -> None:
    (ground.folder / ".env").mkdir()


@alone("line 2 of ", "mend line 2")
def env_file_with_a_line_that_is_none(ground: Ground) -> None:
    ground.write(".env", "STREAMGUARD_DESK_SLA_MINUTES=30\n'what?\n")


@alone("is not UTF-8 text", "save it as that")
def env_file_in_another_encoding(ground: Ground) -> None:
    ground.write(".env", b"A=\xff\n")


@alone(".env has a password or a key, and others may use it (mode 0644)", "chmod 600")
def env_file_that_others_read(ground: Ground) -> None:
    ground.write(".env", "STREAMGUARD_PII_KEY=0123456789abcdef0123\n", 0o644)


@alone("is the secret of STREAMGUARD_KAFKA_SASL_PASSWORD_FILE, and others may use it", "chmod 600")
def password_file_that_others_read(ground: Ground) -> None:
    ground.set(KAFKA_SASL_PASSWORD_FILE=ground.write("password", "x", 0o640))
    ground.set(KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT", KAFKA_SASL_MECHANISM="PLAIN", KAFKA_SASL_USERNAME="ana")


@alone("KSQLDB_URL names a ksqldb elsewhere, so STREAMGUARD_KSQLDB_PORT=", "remove KSQLDB_URL")
def address_and_port(ground: Ground) -> None:
    ground.set(KSQLDB_URL=f"http://127.0.0.1:{free_port()}")


@alone("the desk does not listen on 0.0.0.0 without TLS", "give STREAMGUARD_DESK_CERTIFICATE")
def desk_that_is_open(ground: Ground) -> None:
    ground.set(DESK_HOST="0.0.0.0")


@alone("the embedded broker does not listen on 0.0.0.0", "STREAMGUARD_KAFKA_SECURITY_PROTOCOL=SASL_SSL")
def broker_that_is_open(ground: Ground) -> None:
    ground.set(KAFKA_HOST="0.0.0.0")


@alone("STREAMGUARD_PII_KEY: card as mask needs a key", "set the key that this database began with")
def masks_without_a_key(ground: Ground) -> None:
    ground.set(PII_CARD="mask")


@alone(f"in use by {psutil.Process().name()} (process {os.getpid()}), desk needs it", "set STREAMGUARD_DESK_PORT")
def port_that_is_taken(ground: Ground) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    ground.undo.append(listener.close)
    ground.set(DESK_PORT=listener.getsockname()[1])


@alone("cannot both have port", "set STREAMGUARD_KAFKA_PORT or STREAMGUARD_DESK_PORT")
def two_parts_on_one_port(ground: Ground) -> None:
    ground.set(DESK_PORT=os.environ["STREAMGUARD_KAFKA_PORT"])


@alone("cannot be written to", "set STREAMGUARD_STATE_DIR")
def state_folder_that_is_a_file(ground: Ground) -> None:
    ground.write("state", "x")


@alone("has format 99", "install a newer streamguard")
def state_folder_of_a_newer_version(ground: Ground) -> None:
    ground.write("state/version", "99\n")
    ground.state.chmod(0o700)


@alone("a restore into ", "streamguard restore FILE")
def restore_that_was_cut_off(ground: Ground) -> None:
    (ground.state / "restore.new").mkdir(parents=True)
    ground.state.chmod(0o700)


@alone("others may use the state folder", "chmod 7")
def state_folder_that_others_write(ground: Ground) -> None:
    ground.state.mkdir()
    ground.state.chmod(0o777)


@alone("the desk does not listen on 192.0.2.1 without TLS", "give STREAMGUARD_DESK_CERTIFICATE")
def desk_on_an_address_of_others(ground: Ground) -> None:
    ground.set(DESK_HOST="192.0.2.1")


@alone("expired on ", "renew it")
def certificate_that_expired(ground: Ground) -> None:
    made = ground.authority.issue("old", days=-1)
    ground.set(DESK_CERTIFICATE=made.file, DESK_KEY=made.key)


@alone("expires in 1 days", "renew it before")
def certificate_that_expires_soon(ground: Ground) -> None:
    made = ground.authority.issue("soon")
    ground.set(DESK_CERTIFICATE=made.file, DESK_KEY=made.key)


@alone("is for another host than 127.0.0.1", "make one whose subjectAltName has 127.0.0.1")
def certificate_for_another_host(ground: Ground) -> None:
    made = ground.authority.issue("elsewhere", hosts="DNS:example.org")
    ground.set(KSQLDB_CERTIFICATE=made.file, KSQLDB_KEY=made.key, KSQLDB_SSL_CAFILE=ground.authority.file)


@alone("does not fit the certificate", "a PEM certificate and its key without password")
def key_of_another_certificate(ground: Ground) -> None:
    one, other = ground.authority.issue("one"), ground.authority.issue("other")
    ground.set(DESK_CERTIFICATE=one.file, DESK_KEY=other.key)


@alone("is not signed by an authority that this machine trusts", "set STREAMGUARD_KSQLDB_SSL_CAFILE")
def authority_that_is_not_named(ground: Ground) -> None:
    made = ground.authority.issue("unnamed")
    ground.set(KSQLDB_CERTIFICATE=made.file, KSQLDB_KEY=made.key)


@alone("STREAMGUARD_KSQLDB_SSL_CAFILE: the file", "STREAMGUARD_KSQLDB_SSL_CAFILE")
def authority_whose_file_is_gone(ground: Ground) -> None:
    ground.set(KSQLDB_SSL_CAFILE=ground.folder / "none.pem")


@alone("is the secret of STREAMGUARD_DESK_KEY, and others may use it", "chmod 600")
def key_that_others_read(ground: Ground) -> None:
    made = ground.authority.issue("read")
    made.key.chmod(0o644)
    ground.set(DESK_CERTIFICATE=made.file, DESK_KEY=made.key)


@alone("go through the proxy http://127.0.0.1:1", "add 192.0.2.1 to NO_PROXY")
def proxy_before_the_engine(ground: Ground) -> None:
    ground.set(KSQLDB_URL="http://192.0.2.1:8088", HTTP_PROXY="http://127.0.0.1:1")


@alone("HTTPS_PROXY=http://:x is no address of a proxy", "unset it")
def proxy_that_is_none(ground: Ground) -> None:
    ground.set(HTTPS_PROXY="http://:x")


@alone("REQUESTS_CA_BUNDLE=/none.pem: there is no such file", "unset REQUESTS_CA_BUNDLE")
def bundle_that_is_gone(ground: Ground) -> None:
    ground.set(REQUESTS_CA_BUNDLE="/none.pem")


@alone("the package lz4 has version 1.0, >=4.3 is needed", "pip install")
def package_that_is_old(ground: Ground) -> None:
    ground.write("packages/lz4-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: lz4\nVersion: 1.0\n")
    ground.patch.syspath_prepend(ground.folder / "packages")


@alone("queries.sql: line 1:8: Syntax Error", "mend ksqldb/queries.sql")
def sql_that_cannot_be_read(ground: Ground) -> None:
    ground.write("ksqldb/queries.sql", "CREATE STRAEM x;\n")


@alone("what answers at http", "KSQLDB_URL")
def server_that_is_no_ksqldb(ground: Ground) -> None:
    ground.set(KSQLDB_URL=_stand_in(ground, {}))


@alone("is ksqlDB 0.28.2; the SQL is for 0.29", "use ksqlDB 0.29")
def ksqldb_of_another_version(ground: Ground) -> None:
    info = {"KsqlServerInfo": {"version": "0.28.2", "serverStatus": "RUNNING"}}
    queries: list[dict[str, Any]] = [{"queries": [], "streams": [], "tables": []}]
    ground.set(KSQLDB_URL=_stand_in(ground, {"/info": info, "/healthcheck": {"isHealthy": True}, "/ksql": queries}))


def _stand_in(ground: Ground, answers: dict[str, Any]) -> str:
    """Somebody else's server, by what it answers; nothing of ours."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.dumps(answers[self.path]).encode() if self.path in answers else b"hello"
            if b"DESCRIBE" in asked:
                body = b'{"message": "Could not find STREAM/TABLE in the Metastore"}'
            self.send_response(400 if b"DESCRIBE" in asked else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    ground.undo += [server.shutdown, server.server_close]
    ground.patch.delenv("STREAMGUARD_KSQLDB_PORT")
    return f"http://127.0.0.1:{server.server_address[1]}"


@pytest.mark.parametrize("name", ALONE)
def test_without_a_server(ground: Ground, name: str) -> None:
    provoke, what, cure = ALONE[name]
    provoke(ground)
    find(ground.examine(), what, cure)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file away")
def test_files_of_another_user(ground: Ground) -> None:
    file = ground.write("state/logs/broker.log", "x")
    ground.state.chmod(0o700)
    os.chown(file, 12_345, 12_345)
    find(ground.examine(), f"{file} in the state folder belong to user 12345", "chown -R root")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
@pytest.mark.parametrize(
    ("options", "what", "cure"),
    [
        ("size=1m", "only 1 MiB are free", "streamguard retention"),
        ("size=1g,nr_inodes=100", "has room for 99 files only", "df -i"),
        ("size=1g,ro", "is read-only", "mount it for writing"),
    ],
)
def test_a_file_system(ground: Ground, options: str, what: str, cure: str) -> None:
    ground.state.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", f"mode=700,{options}", "tmpfs", str(ground.state)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        find(ground.examine(), what, cure)
    finally:
        subprocess.run(["umount", str(ground.state)], check=True)


def test_too_few_open_files_and_the_command_itself(ground: Ground) -> None:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT / "src")}
    command = f"ulimit -n 200; exec {sys.executable} -m streamguard.cli doctor"
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    finding, cure = done.stdout.splitlines()[:2]
    assert finding == "State folder and limits: a process may open 200 files here, 1,024 are needed"
    assert cure == "  cure: raise the limit (`ulimit -n 4096`)"
    assert "not checked, as the database does not run: " in done.stdout
    assert done.stdout.splitlines()[-1].endswith("checks made, 1 finding")


# --- against a Postgres -------------------------------------------------------------------------------------------------


@pytest.fixture
def stored(ground: Ground, postgres: EmbeddedPostgres) -> EmbeddedPostgres:
    """A database with tables, elsewhere."""
    ground.patch.delenv("STREAMGUARD_POSTGRES_PORT")
    ground.set(DATABASE_URL=postgres.url())
    engine = make_engine(load_settings())
    apply_schema(engine)
    engine.dispose()
    return postgres


def test_a_database_that_is_well(ground: Ground, stored: EmbeddedPostgres) -> None:
    assert said(ground.examine()) == []


@pytest.mark.parametrize(
    ("statement", "what", "cure"),
    [
        ("DELETE FROM schema_version WHERE version = 5", None, None),
        (
            "DELETE FROM schema_version WHERE version > 5",
            "the database has schema 5 of ",
            "`streamguard up` migrates it",
        ),
        (
            "INSERT INTO schema_version (version, name) VALUES (9999, 'later')",
            "the database has schema 9999",
            "install the version that made it",
        ),
        ("DROP TABLE outbox", "has no table outbox", "docker/init-db.sql"),
        ("ALTER TABLE fraud_alerts DROP COLUMN score", "fraud_alerts has no column score", "docker/init-db.sql"),
        (
            "ALTER TABLE outbox ALTER topic TYPE VARCHAR(9)",
            "outbox.topic is VARCHAR(9), not TEXT",
            "docker/init-db.sql",
        ),
        ("DROP INDEX transactions_time", "has no index transactions_time", "grep -A2 'transactions_time'"),
        ("DROP SCHEMA public CASCADE; CREATE SCHEMA public", "has no tables yet", "`streamguard up` makes them"),
    ],
)
def test_a_schema(ground: Ground, stored: EmbeddedPostgres, statement: str, what: str | None, cure: str | None) -> None:
    stored.query(statement)
    report = ground.examine()
    if what is None or cure is None:
        assert said(report) == []
    else:
        find(report, what, cure)


def test_a_role_that_may_too_little(ground: Ground, stored: EmbeddedPostgres) -> None:
    stored.query("REVOKE INSERT, DELETE ON fraud_alerts, outbox FROM streamguard")
    stored.query("REVOKE CREATE ON SCHEMA public FROM streamguard")
    report = ground.examine()
    cure = 'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "streamguard";'
    find(report, "the role streamguard (DATABASE_URL) may not INSERT in fraud_alerts, outbox", cure)
    find(report, "the role streamguard (DATABASE_URL) may not DELETE in fraud_alerts, outbox", cure)
    find(report, "the role streamguard (DATABASE_URL) may not make tables", "GRANT CREATE ON SCHEMA public")


def test_a_password_that_is_refused(ground: Ground, stored: EmbeddedPostgres) -> None:
    ground.set(DATABASE_URL=f"postgresql://streamguard:wrong@127.0.0.1:{stored.port}/streamguard")
    find(ground.examine(), "password authentication failed", "check DATABASE_URL")


@pytest.mark.parametrize(("off_s", "way"), [(600, "ahead of"), (-600, "behind")])
def test_a_clock_that_is_wrong(ground: Ground, stored: EmbeddedPostgres, off_s: int, way: str) -> None:
    ground.clock = lambda: time.time() + off_s
    find(ground.examine(), f"600 s {way} that of the database", "timedatectl set-ntp true")


def test_an_old_postgres() -> None:
    [finding] = versions.of_postgres(140_009)
    assert "is Postgres 14, 15 or later is needed" in finding.what and "upgrade it" in finding.cure
    assert list(versions.of_postgres(150_000)) == []


# --- against a Kafka ----------------------------------------------------------------------------------------------------


@pytest.fixture
def kafka(ground: Ground, broker: BrokerProcess) -> Iterator[KafkaAdminClient]:
    """A Kafka elsewhere that has the topics."""
    ground.patch.delenv("STREAMGUARD_KAFKA_PORT")
    ground.set(KAFKA_BOOTSTRAP_SERVERS=broker.address)
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    ensure_topics(load_settings(), admin)
    yield admin
    admin.close()


def altered(topic: str, **configs: str) -> Callable[[Ground, KafkaAdminClient], None]:
    def alter(ground: Ground, admin: KafkaAdminClient) -> None:
        admin.delete_topics([topic])
        given = {name.replace("_", "."): value for name, value in configs.items()}
        admin.create_topics({topic: {"num_partitions": 3, "replication_factor": -1, "configs": given}})

    return alter


def without_list(ground: Ground, admin: KafkaAdminClient) -> None:
    admin.delete_topics(["blacklist", "fraud_labels"])


def more_partitions(ground: Ground, admin: KafkaAdminClient) -> None:
    ground.set(TOPIC_PARTITIONS=4)


def from_the_future(ground: Ground, admin: KafkaAdminClient) -> None:
    producer = KafkaProducer(bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"])
    producer.send("transactions", b"{}", timestamp_ms=round((time.time() + 900) * 1_000)).get(30)
    producer.close()


def encrypted(ground: Ground, admin: KafkaAdminClient) -> None:
    ground.set(KAFKA_SECURITY_PROTOCOL="SSL")


def nothing(ground: Ground, admin: KafkaAdminClient) -> None:
    """As it should be."""


@pytest.mark.parametrize(
    ("provoke", "what", "cure"),
    [
        (nothing, "", ""),
        (without_list, "does not have the topics blacklist, fraud_labels", "`streamguard up` makes them"),
        (more_partitions, "topic transactions has partitions=3, 4 is expected", "`streamguard topics check --mend`"),
        (
            altered("decisions", retention_ms="1000", max_message_bytes="8388608"),
            "topic decisions has retention.ms=1000, -1 is expected",
            "`streamguard topics check --mend` sets it",
        ),
        (altered("blacklist"), "topic blacklist has cleanup.policy=delete, compact is expected", "topics check --mend"),
        (from_the_future, "s ahead of the clock of this machine", "set the clock of their sender"),
        (encrypted, "does not speak TLS as SSL needs it", "STREAMGUARD_KAFKA_SECURITY_PROTOCOL=PLAINTEXT"),
    ],
)
def test_topics(
    ground: Ground,
    kafka: KafkaAdminClient,
    provoke: Callable[[Ground, KafkaAdminClient], None],
    what: str,
    cure: str,
) -> None:
    provoke(ground, kafka)
    report = ground.examine()
    if what:
        find(report, what, cure)
    else:
        assert said(report) == []
