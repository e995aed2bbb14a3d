"""The stack with logins and TLS is the open one: the same transactions give the same tables, row for row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.stackrun import ALERTS, PAYMENTS, StackRun, expected_alerts
from tests.support.broker import free_port
from tests.support.kafka import KafkaProcess, kafka_possible
from tests.support.tls import Authority

pytestmark = pytest.mark.integration

FEED = ("batch", "--count", "2000", "--seed", "7", "--fraud-share", "0.1")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


def secured(folder: Path, authority: Authority, password: str = "p\"a\\ s;s'%w=ö") -> dict[str, str]:
    """The settings of a secured Kafka, the password in a file."""
    (folder / "password").write_text(password, encoding="utf-8")
    return {
        "STREAMGUARD_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "STREAMGUARD_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "STREAMGUARD_KAFKA_SASL_USERNAME": "ana",
        "STREAMGUARD_KAFKA_SASL_PASSWORD_FILE": str(folder / "password"),
        "STREAMGUARD_KAFKA_SSL_CAFILE": str(authority.file),
    }


def fed(stack: StackRun) -> dict[str, list[tuple[object, ...]]]:
    """The tables after the same transactions."""
    stack.generate(*FEED)
    stack.wait_count("transactions", 2000)
    stack.wait_settled(quiet_s=2, timeout_s=120)
    return stack.snapshot()


@pytest.fixture(scope="module")
def open_tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[object, ...]]]:
    stack = StackRun(tmp_path_factory.mktemp("open") / "state")
    try:
        stack.start("--no-generator", "--no-desk")
        return fed(stack)
    finally:
        stack.run("./stop.sh", "--wipe", check=False)


@pytest.fixture
def stack(tmp_path: Path, authority: Authority) -> Iterator[StackRun]:
    certificate = authority.issue()
    own = {"STREAMGUARD_KAFKA_CERTIFICATE": str(certificate.file), "STREAMGUARD_KAFKA_KEY": str(certificate.key)}
    run = StackRun(tmp_path / "state", secured(tmp_path, authority) | own)
    yield run
    run.run("./stop.sh", "--wipe", check=False)


def test_the_core_rules_over_sasl_ssl(stack: StackRun, tmp_path: Path) -> None:
    stack.start_core()
    stack.generate("batch", "--count", "500", "--seed", "7", "--fraud-share", "0.1")
    stack.wait_count("transactions", 500)
    stack.wait_settled(quiet_s=1)
    found = {alert_id: (count, amount) for alert_id, count, amount in stack.query(ALERTS)}
    assert found
    assert found == expected_alerts(stack.query(PAYMENTS), above=3_000, window_ms=60_000, more_than=3)
    status = stack.streamguard("status", check=False).stdout
    assert "PROBLEM" not in status, status
    assert "fraud_alerts" in stack.streamguard("topics", "list").stdout
    assert (stack.state / "ksql-server.properties").stat().st_mode & 0o777 == 0o600
    for log in (stack.state / "logs").glob("*.log"):
        assert "s;s'%w" not in log.read_text(errors="replace"), f"the password is in {log}"
    (tmp_path / "password").write_text("wrong")
    refused = stack.streamguard("deploy", check=False)
    assert refused.returncode == 1
    assert "refuses the login of ana" in refused.stderr.splitlines()[-1]


@pytest.mark.soak
def test_all_tables_over_sasl_ssl(stack: StackRun, open_tables: dict[str, list[tuple[object, ...]]]) -> None:
    stack.start("--no-generator", "--no-desk")
    assert fed(stack) == open_tables


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


@pytest.mark.soak
@pytest.mark.kafka
def test_all_tables_on_a_secured_apache_kafka(
    tmp_path: Path, authority: Authority, kafka: KafkaProcess, open_tables: dict[str, list[tuple[object, ...]]]
) -> None:
    """It is somebody else's: used, and neither started nor wiped."""
    stack = StackRun(
        tmp_path / "state", secured(tmp_path, authority, "s3cret") | {"KAFKA_BOOTSTRAP_SERVERS": kafka.address}
    )
    try:
        said = stack.start("--no-generator", "--no-desk")
        assert "Kafka of KAFKA_BOOTSTRAP_SERVERS is used, none is started" in said
        assert fed(stack) == open_tables
        status = stack.streamguard("status", check=False).stdout
        assert "PROBLEM" not in status and "broker" not in status, status
    finally:
        stopped = stack.run("./stop.sh", "--wipe", check=False).stdout
    assert "Kafka of KAFKA_BOOTSTRAP_SERVERS is not ours: what is in it stays" in stopped
    assert "transactions" in stack.streamguard("topics", "list").stdout
