"""The stack with logins and TLS is the open one: the same transactions give the same tables, row for row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.stackrun import StackRun
from tests.support.tls import Authority

pytestmark = pytest.mark.integration

FEED = ("batch", "--count", "2000", "--seed", "7", "--fraud-share", "0.1")
PLACES = ("offsets",)
"""What has more than the rows: transactions of a producer that was begun twice take other offsets."""


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


def test_all_over_sasl_ssl(stack: StackRun, open_tables: dict[str, list[tuple[object, ...]]]) -> None:
    stack.start("--no-generator", "--no-desk")
    assert fed(stack) == open_tables
    status = stack.streamguard("status", check=False)
    assert "PROBLEM" not in status.stdout, status.stdout
    assert "fraud_alerts" in stack.streamguard("topics", "list").stdout
    assert "0 created" in stack.streamguard("deploy").stdout or "unchanged" in stack.streamguard("deploy").stdout
    config = stack.state / "ksql-server.properties"
    assert config.stat().st_mode & 0o777 == 0o600
    for log in (stack.state / "logs").glob("*.log"):
        assert "s;s'%w" not in log.read_text(errors="replace"), f"the password is in {log}"
