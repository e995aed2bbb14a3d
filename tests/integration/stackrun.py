"""The whole stack for tests, by the scripts a person types, on ports and in a folder of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
from kafka import TopicPartition
from kafka.errors import KafkaError

from streamguard.config import Settings, load_settings
from streamguard.kafka import clients
from streamguard.kafka.lags import has_record, lags
from streamguard.sqldeploy import DeployError
from streamguard.sqldeploy.state import Server
from streamguard.stack.supervisor import Supervisor
from tests.support import pages
from tests.support.broker import free_port
from tests.support.processes import eventually
from tests.support.project import PROJECT_ROOT
from tests.support.tls import Authority

BIN = PROJECT_ROOT / ".venv" / "bin"

SNAPSHOT = {
    "transactions": "SELECT transaction_id, account_id, amount, currency, merchant_id, event_time, is_fraud,"
    " source_partition, source_offset FROM transactions ORDER BY 1",
    "fraud_alerts": "SELECT alert_id, rule, account_id, transaction_id, amount, tx_count, window_start, window_end,"
    " detected_at, outcome, score, status FROM fraud_alerts ORDER BY 1",
    "alert_transactions": "SELECT alert_id, transaction_id FROM alert_transactions ORDER BY 1, 2",
    "decisions": "SELECT alert_id, tx_count, decided_by, outcome, score, reason, verdicts::TEXT FROM decisions"
    " ORDER BY 1, 2, 3",
    "alert_versions": "SELECT alert_id, tx_count, transaction_id, evidence::TEXT, judged, refused_topic,"
    " refused_partition, refused_offset FROM alert_versions ORDER BY 1, 2",
    "transaction_records": "SELECT transaction_id, event_time, raw::TEXT FROM received_records ORDER BY 1",
    "dead_letters": "SELECT source_topic, source_partition, source_offset, reason FROM dead_letters ORDER BY 1, 2, 3",
    "offsets": "SELECT partition_no, next_offset, records_read FROM consumer_offsets"
    " WHERE topic = 'transactions' ORDER BY 1",
}
"""Everything but the wall clock, and where an alert stood in its topic (a crash may write one twice)."""

Tables = dict[str, list[tuple[Any, ...]]]
"""The rows of each of them."""


def differences(found: Tables, expected: Tables) -> dict[str, tuple[set[Any], set[Any]]]:
    """Of each table that is not the same: the rows that only `found` has, and those that only `expected` has."""
    return {
        name: (set(rows) - set(expected[name]), set(expected[name]) - set(rows))
        for name, rows in found.items()
        if rows != expected[name]
    }


@dataclass
class StackRun:
    """`./start.sh` and `./stop.sh` with an environment of their own."""

    state: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environment = {
            "STREAMGUARD_STATE_DIR": str(self.state),
            "STREAMGUARD_KAFKA_PORT": str(free_port()),
            "STREAMGUARD_KSQLDB_PORT": str(free_port()),
            "STREAMGUARD_POSTGRES_PORT": str(free_port()),
            "STREAMGUARD_DESK_PORT": str(free_port()),
            "STREAMGUARD_METRICS_PORT": "0",
            # Several stacks run side by side in the tests: each leaves the machine to the others.
            "STREAMGUARD_GENERATOR_TPS": "5",
            **self.environment,
        }

    @property
    def settings(self) -> Settings:
        taken = {name.removeprefix("STREAMGUARD_").lower(): value for name, value in self.environment.items()}
        return load_settings(**taken)

    def run(self, *command: str | Path, timeout_s: float = 120, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of the project's folder; its output is in the failure."""
        done = subprocess.run(
            [str(part) for part in command],
            cwd=PROJECT_ROOT,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        assert not check or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def start(self, *options: str) -> str:
        return self.run("./start.sh", *options).stdout

    def start_core(self, *options: str) -> str:
        """The two core rules alone, without generator stream and desk: for what is compared with a plain computation."""
        return self.start("--no-generator", "--no-desk", "--rules", "core", *options)

    def stop(self, *options: str) -> str:
        return self.run("./stop.sh", *options).stdout

    def streamguard(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run(BIN / "streamguard", *arguments, check=check)

    def generate(self, *arguments: str) -> str:
        return self.run(BIN / "python", "generate_transactions.py", *arguments).stdout

    def begin(self, *command: str | Path) -> subprocess.Popen[bytes]:
        """Start a command and go on."""
        return subprocess.Popen(
            [str(part) for part in command],
            cwd=PROJECT_ROOT,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(**self.settings.database.connection)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def kill(self, part: str) -> None:
        """kill -9 of one supervised process."""
        process = Supervisor(self.settings).processes()[part]
        assert process.pid, f"{part} does not run: {process}"
        os.kill(process.pid, signal.SIGKILL)

    def wait_count(self, table: str, count: int, timeout_s: float = 60) -> None:
        def rows() -> int:
            try:
                return int(self.query(f"SELECT count(*) FROM {table}")[0][0])
            except psycopg2.Error:
                return -1

        eventually(rows, lambda seen: seen >= count, timeout_s, f"{count} rows in {table}")

    def wait_settled(self, quiet_s: float = 2.0, timeout_s: float = 60) -> None:
        """Until rules and consumer have read all there is, and alerts and decisions, none of them waiting for its transaction,
        have not changed for a while."""
        last: object = None
        since = time.monotonic()
        deadline = since + timeout_s
        while time.monotonic() - since < quiet_s or (last and last[-1][2]) or not self.all_is_read():  # type: ignore[index]
            assert time.monotonic() < deadline, f"not settled within {timeout_s} s: {last}"
            try:
                seen = self.query(
                    "SELECT count(*), coalesce(sum(records_read), 0),"
                    " (SELECT count(*) FROM alert_versions WHERE NOT judged) FROM fraud_alerts, consumer_offsets"
                )
            except psycopg2.Error:
                seen = []
            if seen != last:
                last, since = seen, time.monotonic()
            time.sleep(0.1)

    def all_is_read(self) -> bool:
        """Whether each query that runs is at the end of its topics (one that starts again after a failure is not), and then the
        consumer at the end of what they wrote."""
        try:
            figures = Server(self.settings.ksqldb, timeout_s=10).figures()
        except DeployError:
            return False
        return all(query["lag"] == 0 for query in figures if query["state"] != "PAUSED") and self._consumer_has_read()

    def _consumer_has_read(self) -> bool:
        servers = self.settings.kafka
        try:
            read = self.query("SELECT topic, partition_no, next_offset FROM consumer_offsets")
            admin = clients.admin(servers)
            try:
                behind = lags(admin, {TopicPartition(topic, number): offset for topic, number, offset in read})
            finally:
                admin.close()
            return not any(lag.records and has_record(servers, lag, timeout_s=10) for lag in behind)
        except (KafkaError, psycopg2.Error):
            return False

    def snapshot(self) -> Tables:
        return {name: self.query(statement) for name, statement in SNAPSHOT.items()}


PASSWORD = "p\"a\\ s;s'%w=ö"
"""It passes a file, the environment of supervisord, a file of Java's and JAAS."""


def secured_kafka(folder: Path, authority: Authority, password: str = PASSWORD) -> dict[str, str]:
    """The settings of clients of a Kafka with TLS and logins; the password is in `folder`/password."""
    (folder / "password").write_text(password, encoding="utf-8")
    return {
        "STREAMGUARD_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "STREAMGUARD_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "STREAMGUARD_KAFKA_SASL_USERNAME": "ana",
        "STREAMGUARD_KAFKA_SASL_PASSWORD_FILE": str(folder / "password"),
        "STREAMGUARD_KAFKA_SSL_CAFILE": str(authority.file),
    }


def secured_broker(folder: Path) -> dict[str, str]:
    """The settings of a secured embedded broker, as docs/security.md makes them; `folder`/tls/password has PASSWORD."""
    [commands] = pages.blocks("docs/security.md", "sh")
    subprocess.run(["sh", "-ec", commands], cwd=folder, check=True, capture_output=True)
    [lines] = [block for block in pages.blocks("docs/security.md", "env") if "tls/kafka.pem" in block]
    settings = dict(line.split("=", 1) for line in lines.splitlines())
    (folder / "tls" / "password").write_text(PASSWORD, encoding="utf-8")
    return {name: str(folder / value) if value.startswith("tls/") else value for name, value in settings.items()}


def expected_alerts(
    payments: Iterable[tuple[str, str, float, int]], *, above: float, window_ms: int, more_than: int
) -> dict[str, tuple[int, float]]:
    """Both rules in a few plain lines: alert id to (count, amount), from (transaction, account, amount, event ms)."""
    alerts: dict[str, tuple[int, float]] = {}
    windows: dict[tuple[str, int], list[float]] = {}
    for transaction_id, account, amount, at_ms in payments:
        if amount > above:
            alerts[f"HIGH_AMOUNT:{transaction_id}"] = (1, round(amount, 2))
        windows.setdefault((account, at_ms - at_ms % window_ms), []).append(amount)
    for (account, start), amounts in windows.items():
        if len(amounts) > more_than:
            alerts[f"HIGH_VELOCITY:{account}:{start}"] = (len(amounts), round(sum(amounts), 2))
    return alerts


PAYMENTS = (
    "SELECT transaction_id, account_id, amount::FLOAT, (extract(epoch FROM event_time) * 1000)::BIGINT"
    " FROM transactions ORDER BY source_partition, source_offset"
)
ALERTS = "SELECT alert_id, tx_count, amount::FLOAT FROM fraud_alerts"
