"""The stack with logins and TLS is the open one: the same transactions give the same tables, row for row.

In the default run `test_same_everywhere` has a secured stack.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.stackrun import StackRun, Tables, differences, secured_broker, secured_kafka
from tests.support.broker import free_port
from tests.support.kafka import KafkaProcess, kafka_possible
from tests.support.tls import Authority
from tests.support.tls_postgres import tls_postgres

pytestmark = [pytest.mark.integration, pytest.mark.soak]

FEED = ("batch", "--count", "2000", "--seed", "7", "--fraud-share", "0.1")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


def fed(stack: StackRun) -> Tables:
    """The tables after the same transactions."""
    stack.generate(*FEED)
    stack.wait_count("transactions", 2000)
    stack.wait_settled(quiet_s=2, timeout_s=120)
    return stack.snapshot()


@pytest.fixture(scope="module")
def open_tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    stack = StackRun(tmp_path_factory.mktemp("open") / "state")
    try:
        stack.start("--no-generator", "--no-desk")
        return fed(stack)
    finally:
        stack.run("./stop.sh", "--wipe", check=False)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[StackRun]:
    run = StackRun(tmp_path / "state", secured_broker(tmp_path))
    yield run
    run.run("./stop.sh", "--wipe", check=False)


def test_all_tables_over_sasl_ssl(stack: StackRun, open_tables: Tables) -> None:
    """With the desk, which reads topics too."""
    stack.start("--no-generator")
    assert not differences(fed(stack), open_tables)
    status = stack.streamguard("status", check=False).stdout
    assert "PROBLEM" not in status, status
    log = (stack.state / "logs" / "desk.log").read_text()
    assert "Kafka is unavailable" not in log and "Traceback" not in log, log


def test_all_tables_with_everything_secured(tmp_path: Path, authority: Authority, open_tables: Tables) -> None:
    """Kafka by SASL_SSL, ksqlDB by https with a login, Postgres by sslmode=verify-full; every password is in a file."""
    made = authority.issue("ksqldb")
    (tmp_path / "ksqldb.password").write_text("nobody reads this\n")
    with tls_postgres(tmp_path / "postgres") as postgres:
        passwords = tmp_path / "pgpass"
        passwords.touch(mode=0o600)
        passwords.write_text("*:*:*:ana:s3cret\n")
        secured = {
            **secured_broker(tmp_path),
            "STREAMGUARD_KSQLDB_CERTIFICATE": str(made.file),
            "STREAMGUARD_KSQLDB_KEY": str(made.key),
            "STREAMGUARD_KSQLDB_SSL_CAFILE": str(authority.file),
            "STREAMGUARD_KSQLDB_USERNAME": "wanda",
            "STREAMGUARD_KSQLDB_PASSWORD_FILE": str(tmp_path / "ksqldb.password"),
            "DATABASE_URL": f"{postgres.url(password='')}&passfile={passwords}",
        }
        stack = StackRun(tmp_path / "state", secured)
        try:
            stack.start("--no-generator")
            assert not differences(fed(stack), open_tables)
            status = stack.streamguard("status", check=False).stdout
            assert "PROBLEM" not in status, status
        finally:
            stack.run("./stop.sh", "--wipe", check=False)


@pytest.fixture
def kafka(tmp_path: Path, authority: Authority) -> Iterator[KafkaProcess]:
    """Apache Kafka whose clients log in by SCRAM over TLS; node and controller speak in plain text, on loopback."""
    if not kafka_possible():
        pytest.skip("java or mvn is not installed")
    certificate, port, internal = authority.issue("kafka"), free_port(), free_port()
    both = tmp_path / "kafka.pem"
    both.write_text(certificate.key.read_text() + certificate.file.read_text())
    node = KafkaProcess(tmp_path / "kafka", port=port)
    controller = f"127.0.0.1:{free_port()}"
    node.settings = (
        f"listeners=SASL_SSL://127.0.0.1:{port},INTERNAL://127.0.0.1:{internal},CONTROLLER://{controller}",
        f"controller.quorum.voters=1@{controller}",
        f"advertised.listeners=SASL_SSL://127.0.0.1:{port},INTERNAL://127.0.0.1:{internal}",
        "listener.security.protocol.map=SASL_SSL:SASL_SSL,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name=INTERNAL",
        "sasl.enabled.mechanisms=SCRAM-SHA-512",
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config="
        "org.apache.kafka.common.security.scram.ScramLoginModule required;",
        "ssl.keystore.type=PEM",
        f"ssl.keystore.location={both}",
    )
    node.format_options = ("--add-scram", "SCRAM-SHA-512=[name=ana,password=s3cret]")
    with node:
        yield node


@pytest.mark.kafka
def test_all_tables_on_a_secured_apache_kafka(
    tmp_path: Path, authority: Authority, kafka: KafkaProcess, open_tables: Tables
) -> None:
    """It is somebody else's: used, and neither started nor wiped."""
    stack = StackRun(
        tmp_path / "state", secured_kafka(tmp_path, authority, "s3cret") | {"KAFKA_BOOTSTRAP_SERVERS": kafka.address}
    )
    try:
        said = stack.start("--no-generator", "--no-desk")
        assert "Kafka of KAFKA_BOOTSTRAP_SERVERS is used, none is started" in said
        assert not differences(fed(stack), open_tables)
        status = stack.streamguard("status", check=False).stdout
        assert "PROBLEM" not in status and "broker" not in status, status
    finally:
        stopped = stack.run("./stop.sh", "--wipe", check=False).stdout
    assert "Kafka of KAFKA_BOOTSTRAP_SERVERS is not ours: what is in it stays" in stopped
    assert "transactions" in stack.streamguard("topics", "list").stdout
