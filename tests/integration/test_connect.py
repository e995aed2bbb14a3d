"""A foreign topic of each kind becomes rows and alerts with one command, over the real broker, engine, database, consumer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic

from streamguard.config import load_settings
from streamguard.kafka.topics import ensure_topics
from streamguard.sqldeploy.state import Server
from streamguard.stack.health.base import Context
from streamguard.stack.health.engine import source_missing
from streamguard.stack.up import apply_sources
from tests.support.broker import BrokerProcess
from tests.support.ksqldb import KsqlServerProcess
from tests.support.postgres import EmbeddedPostgres
from tests.support.processes import Program, eventually
from tests.support.project import PROJECT_ROOT

pytestmark = pytest.mark.integration

T0 = datetime(2025, 11, 5, 8, 15, 0, tzinfo=timezone.utc)
BURST = 5
"""Payments of one account within a minute, a second apart, and one above the limit behind them."""


def _ms(number: int) -> int:
    return int((T0 + timedelta(seconds=number)).timestamp() * 1000)


def _amount(number: int) -> str:
    return "4000.25" if number == BURST else f"{10 + number}.50"


def _flat(number: int) -> tuple[str | None, Any]:
    at = (T0 + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return None, {
        "id": f"flat-{number}",
        "account": "F1",
        "amount": float(_amount(number)),
        "currency": "EUR",
        "time": at,
    }


def _nested(number: int) -> tuple[str | None, Any]:
    money = {"value": _amount(number).replace(".", ","), "currency": "brl"}
    at = (T0 + timedelta(seconds=number)).strftime("%d/%m/%Y %H:%M:%S")
    return f"n{number}", {
        "id": f"nested-{number}",
        "account": {"id": 4000000000000042},
        "money": money,
        "created_at": at,
    }


def _debezium(number: int) -> tuple[str | None, Any]:
    row = {"tx_id": f"dbz-{number}", "customer_id": 7, "amount": _amount(number), "created_at": _ms(number) * 1000}
    payload = {"before": None, "after": row, "source": {"ts_ms": 1}, "op": "r" if number % 2 else "c", "ts_ms": 1}
    return json.dumps({"tx_id": number}), {"schema": {"type": "struct", "fields": []}, "payload": payload}


def _connect(number: int) -> tuple[str | None, Any]:
    payload = {"TXN_ID": f"con-{number}", "AMT": _amount(number), "CCY": "USD", "TS": _ms(number) // 1000}
    return "K-9", {"schema": {"type": "struct", "fields": []}, "payload": payload}


KINDS = {
    "flat": (_flat, (), "F1", "EUR"),
    "nested": (_nested, ("--day-first",), "4000000000000042", "BRL"),
    "debezium": (_debezium, ("--currency", "KES"), "7", "KES"),
    "connect": (_connect, (), "K-9", "USD"),
}


@dataclass
class Stack:
    """Broker, engine, database and consumer, and a folder in which commands run."""

    broker: BrokerProcess
    engine: KsqlServerProcess
    postgres: EmbeddedPostgres
    folder: Path
    consumer: Program

    def run(self, *arguments: str, code: int = 0) -> str:
        environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": self.broker.address,
            "KSQLDB_URL": self.engine.url,
            "DATABASE_URL": self.postgres.url(),
        }
        command = [sys.executable, "-m", "streamguard.cli", *arguments]
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def send(self, topic: str, records: list[tuple[str | None, Any]], partitions: int = 2) -> None:
        if partitions:
            admin = KafkaAdminClient(bootstrap_servers=self.broker.address)
            admin.create_topics([NewTopic(topic, partitions, 1)])
            admin.close()
        producer = KafkaProducer(bootstrap_servers=self.broker.address, acks="all")
        for key, value in records:
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            producer.send(topic, data, key.encode() if key else None).get(20)
        producer.close()

    def rows(self, statement: str, count: int) -> list[tuple[Any, ...]]:
        """The rows of a query, once there are as many."""
        return eventually(lambda: self.postgres.query(statement), lambda rows: len(rows) >= count, 60, self.said)

    def said(self) -> str:
        return self.consumer.said()[-2_000:] + self.engine.log_path.read_text()[-2_000:]


@pytest.fixture
def stack(postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[Stack]:
    with BrokerProcess(tmp_path / "log") as broker:
        ensure_topics(load_settings(kafka_bootstrap_servers=broker.address))
        engine = KsqlServerProcess(tmp_path, broker.address).start()
        addresses = {"KAFKA_BOOTSTRAP_SERVERS": broker.address, "DATABASE_URL": postgres.url()}
        consumer = Program("consumer", ["streamguard.cli", "consume"], addresses, tmp_path)
        consumer.start()
        made = Stack(broker, engine, postgres, tmp_path, consumer)
        eventually(
            lambda: postgres.query("SELECT to_regclass('dead_letters') IS NOT NULL"),
            lambda r: r == [(True,)],
            60,
            made.said,
        )
        yield made
        consumer.close()
        engine.stop()


def test_a_topic_of_each_kind_becomes_rows_and_alerts(stack: Stack) -> None:
    for kind, (record, options, _, _) in KINDS.items():
        stack.send(kind, [record(number) for number in range(BURST + 1)])
        said = stack.run("connect", kind, *options, "--deploy")
        assert f"It is in ksqldb/sources/{kind}.sql." in said
        assert f"CONNECT_{kind.upper()}" in said
    stored = stack.rows(
        "SELECT transaction_id, account_id, amount, currency, event_time FROM transactions ORDER BY account_id, event_time",
        len(KINDS) * (BURST + 1),
    )
    expected = [
        (account, Decimal(_amount(number)), currency, T0 + timedelta(seconds=number))
        for _, _, account, currency in sorted(KINDS.values(), key=lambda kind: kind[2])
        for number in range(BURST + 1)
    ]
    assert [(account, amount, currency.strip(), at) for _, account, amount, currency, at in stored] == expected
    assert stack.postgres.query("SELECT count(*) FROM dead_letters") == [(0,)]
    high = stack.rows("SELECT account_id FROM fraud_alerts WHERE rule = 'HIGH_AMOUNT' ORDER BY 1", len(KINDS))
    assert [account for (account,) in high] == sorted(account for _, _, account, _ in KINDS.values())
    # Windows are those of the payments' own times, not of the broker's clock.
    query = "SELECT account_id, window_start, tx_count FROM fraud_alerts WHERE rule = 'HIGH_VELOCITY' AND tx_count = 6"
    velocity = stack.rows(f"{query} ORDER BY 1", len(KINDS))
    assert velocity == [(account, T0, BURST + 1) for (account,) in high]


def test_what_is_deployed_again_changes_nothing_and_what_was_edited_is_kept(stack: Stack) -> None:
    stack.send("flat", [_flat(0)])
    stack.run("connect", "flat", "--deploy")
    assert "new" not in stack.run("connect", "flat", "--deploy").split("flat.sql.")[1]
    assert "unchanged  query   CONNECT_FLAT" in stack.run("deploy")
    stack.send("flat", [_flat(1)], partitions=0)
    assert "2 of 2 records" in stack.run("connect", "flat", "--deploy"), "only a comment would differ"
    file = stack.folder / "ksqldb" / "sources" / "flat.sql"
    edited = file.read_text().replace("amount AS amount", "CAST(amount * 2 AS DECIMAL(19, 4)) AS amount")
    file.write_text(edited)
    assert "is there already and differs: --replace writes over it" in stack.run("connect", "flat", "--deploy", code=2)
    assert file.read_text() == edited
    assert "different  query   CONNECT_FLAT" in stack.run("deploy", code=1)
    stack.run("deploy", "--replace", str(file))
    assert "unchanged  query   CONNECT_FLAT" in stack.run("deploy")
    assert "amount AS amount" in stack.run("connect", "flat", "--print")
    assert file.read_text() == edited
    other = stack.folder / "other.sql"
    assert f"streamguard deploy {other}" in stack.run("connect", "flat", "--to", str(other))
    assert "CREATE STREAM flat_source" in other.read_text()


def test_a_start_connects_the_topics_again_and_names_one_that_is_not_there(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.send("flat", [_flat(0)])
    stack.run("connect", "flat")
    file = stack.folder / "ksqldb" / "sources" / "flat.sql"
    (file.parent / "gone.sql").write_text(file.read_text().replace("flat", "gone"))
    stack.run("deploy", str(PROJECT_ROOT / "ksqldb" / "queries.sql"))
    monkeypatch.chdir(stack.folder)
    settings = load_settings(kafka_bootstrap_servers=stack.broker.address, ksqldb_url=stack.engine.url)

    def findings() -> list[str]:
        context = Context(settings, engine=Server(stack.engine.url))
        return [finding.sentence for finding in source_missing(context)]

    assert ["CONNECT_FLAT" in text for text in findings()] == [True, False]
    said: list[str] = []
    apply_sources(settings, said.append)
    assert said[0] == "ksqldb/sources/flat.sql: deployed"
    assert said[1] == (
        "not connected: ksqldb/sources/gone.sql:5: Topic 'gone' does not exist; "
        "`streamguard deploy ksqldb/sources/gone.sql` tries again"
    )
    assert ["CONNECT_GONE" in text for text in findings()] == [True]
    stack.rows("SELECT 1 FROM transactions", 1)


def test_sentences(stack: Stack) -> None:
    stack.send("payments-avro", [(None, bytes.fromhex("000000000108617672310842522d31"))])
    assert "Avro or Protobuf of a schema registry (magic byte 0, schema id 1)" in stack.run(
        "connect", "payments-avro", code=2
    )
    assert "no topic payments; there is payments-avro" in stack.run("connect", "payments", code=2)
    assert "StreamGuard's own topic" in stack.run("connect", "transactions", code=2)
    stack.send("empty", [])
    assert "holds no records" in stack.run("connect", "empty", code=2)
    assert "amount is the nearest name" in stack.run("connect", "empty", "--map", "amout=x", code=2)
    assert "a time zone is expected" in stack.run("connect", "empty", "--zone", "Mars/Olympus", code=2)
    assert "give one of the two" in stack.run("connect", "empty", "--print", "--deploy", code=2)
    stack.send("open", [(None, {"id": "1", "amount": 5})])
    assert "leaves open: no account was found: --account FIELD names it" in stack.run("connect", "open", code=2)
    wrong = stack.run("connect", "open", "--account", "id", "--currency", "EUR", "--map", "event_time=1 +", code=2)
    assert "no SQL can be made with these expressions: open.sql" in wrong
    assert not list((stack.folder / "ksqldb").glob("sources/*.sql"))


def test_foreign_data_mapped_by_hand_is_stored(stack: Stack) -> None:
    """INSERT INTO transactions by hand and from a CSV topic: ksqlDB writes names in upper case, amounts as doubles."""
    rows = ["1,PAYMENT,9411.20,C11,1.0,1.0,M1,0.0,0.0,0,0", "1,TRANSFER,190.0,C12,1.0,0.0,C20,0.0,0.0,1,0"]
    rows += ["1,CASH_OUT,190.0,C13,1.0,0.0,C21,2.0,0.0,1,0", "2,TRANSFER,3400000.55,C14,1.0,0.0,C22,0.0,0.0,0,1"]
    stack.send("paysim", [(None, row.encode()) for row in rows])
    stack.run("deploy", str(PROJECT_ROOT / "ksqldb" / "queries.sql"))
    stack.engine.ksql(
        "INSERT INTO transactions (account_id, transaction_id, amount, currency, event_time)"
        " VALUES ('SHELL-1', 'shell-1', 4500.00, 'BRL', 1762330530000);"
    )
    stack.engine.ksql(
        "CREATE STREAM paysim (step BIGINT, type VARCHAR, amount DOUBLE, nameOrig VARCHAR, a DOUBLE, b DOUBLE,"
        " nameDest VARCHAR, c DOUBLE, d DOUBLE, isFraud INT, isFlagged INT)"
        " WITH (KAFKA_TOPIC='paysim', VALUE_FORMAT='DELIMITED');"
        "CREATE STREAM tx (account_id VARCHAR KEY, transaction_id VARCHAR, amount DOUBLE, currency VARCHAR,"
        " event_time BIGINT) WITH (KAFKA_TOPIC='transactions', VALUE_FORMAT='JSON');"
        "INSERT INTO tx SELECT nameOrig AS account_id, CAST(step AS VARCHAR) + '-' + nameOrig AS transaction_id, amount,"
        " 'KES' AS currency, step * 3600000 + 1762330530000 AS event_time FROM paysim PARTITION BY nameOrig EMIT CHANGES;",
        streamsProperties={"auto.offset.reset": "earliest"},
    )
    stored = stack.rows("SELECT transaction_id, amount FROM transactions ORDER BY 1", 5)
    amounts = [Decimal("9411.20"), Decimal(190), Decimal(190), Decimal("3400000.55"), Decimal(4500)]
    assert [amount for _, amount in stored] == amounts
    assert stack.postgres.query("SELECT count(*) FROM dead_letters") == [(0,)]
    alerts = stack.rows("SELECT account_id FROM fraud_alerts WHERE outcome IS NOT NULL ORDER BY 1", 3)
    assert alerts == [("C11",), ("C14",), ("SHELL-1",)]
