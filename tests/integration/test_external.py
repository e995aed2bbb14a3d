"""Postgres, Kafka and ksqlDB that run elsewhere: the stack is the consumer alone, and leaves them as they are when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamguard.sqldeploy.state import Server
from streamguard.stack.down import DATA_FOLDERS
from streamguard.stack.supervisor import Supervisor
from tests.integration.stackrun import ALERTS, PAYMENTS, StackRun, expected_alerts
from tests.support.broker import BrokerProcess
from tests.support.ksqldb import KsqlServerProcess
from tests.support.postgres import EmbeddedPostgres

pytestmark = pytest.mark.integration


@pytest.fixture
def elsewhere(tmp_path: Path, postgres: EmbeddedPostgres) -> Iterator[dict[str, str]]:
    """The addresses of all three."""
    with BrokerProcess(tmp_path / "kafka") as broker:
        server = KsqlServerProcess(tmp_path / "ksqldb", broker.address).start()
        yield {
            "KAFKA_BOOTSTRAP_SERVERS": broker.address,
            "KSQLDB_URL": server.url,
            "DATABASE_URL": postgres.url(),
        }
        server.stop()


def test_all_three_are_used_and_left(tmp_path: Path, elsewhere: dict[str, str], postgres: EmbeddedPostgres) -> None:
    stack = StackRun(tmp_path / "state", elsewhere)
    try:
        said = stack.start_core()
        for name in ("Postgres of DATABASE_URL", "Kafka of KAFKA_BOOTSTRAP_SERVERS", "ksqlDB of KSQLDB_URL"):
            assert f"{name} is used, none is started" in said
        assert "schema" in said and "made" in said
        assert set(Supervisor(stack.settings).processes()) == {"consumer", "monitor"}
        stack.generate("batch", "--count", "300", "--seed", "7", "--fraud-share", "0.1")
        stack.wait_count("transactions", 300)
        stack.wait_settled(quiet_s=1)
        alerts = {alert_id: (count, amount) for alert_id, count, amount in stack.query(ALERTS)}
        assert alerts
        assert alerts == expected_alerts(stack.query(PAYMENTS), above=3_000, window_ms=60_000, more_than=3)
        status = stack.streamguard("status", check=False).stdout
        assert "PROBLEM" not in status, status
    finally:
        stopped = stack.run("./stop.sh", "--wipe", check=False).stdout
    assert "stopped consumer" in stopped
    assert "Postgres of DATABASE_URL is not ours: what is in it stays" in stopped
    assert postgres.query("SELECT count(*) FROM transactions") == [(300,)]
    [queries] = Server(elsewhere["KSQLDB_URL"]).execute("SHOW QUERIES;")
    assert "HIGH_AMOUNT" in {query["id"] for query in queries["queries"]}
    assert not any((stack.state / name).exists() for name in DATA_FOLDERS)
