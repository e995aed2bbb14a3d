"""`streamguard lineage`: each step of a transaction or an alert, its record, and the decision once more."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kafka import KafkaProducer
from typer.testing import CliRunner

from streamguard.alerts.actions import resolve_alert
from streamguard.alerts.lists import Entry, add_entry
from streamguard.cli.lineage import app
from streamguard.config import get_settings
from streamguard.consumer.publisher import Publisher
from streamguard.kafka.topics import ensure_topics
from streamguard.users import audit
from tests.support.broker import BrokerProcess
from tests.support.desk import Desk
from tests.support.records import T0_MS, Record, high_amount, transaction

SENT_MS = T0_MS + 3_000


def run(desk: Desk, broker: BrokerProcess, *arguments: str, code: int = 0) -> str:
    get_settings.cache_clear()
    environment = {"DATABASE_URL": desk.postgres.url(), "KAFKA_BOOTSTRAP_SERVERS": broker.address}
    found = CliRunner().invoke(app, list(arguments), env=environment)
    assert found.exit_code == code, (found.output, found.exception)
    return found.stdout


def steps(desk: Desk, broker: BrokerProcess, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run(desk, broker, name, "--json"))["steps"]
    return found


@pytest.fixture
def story(desk: Desk, broker: BrokerProcess) -> None:
    """A transaction of a listed account, from its record to what ana made of its alert."""
    ensure_topics(desk.settings.model_copy(update={"kafka_bootstrap_servers": broker.address}))
    records = [transaction(0, "t0", "A", 4_000, T0_MS), high_amount(0, "t0", "A", 4_000, T0_MS)]
    producer = KafkaProducer(bootstrap_servers=broker.address)
    for record in records:
        producer.send(record.topic, record.value, record.key, partition=0, timestamp_ms=SENT_MS).get(10)
    producer.close()
    desk.rows(
        "INSERT INTO deployed_rules (rule, version, sql_hash, sql_text, deployed_by) VALUES ('HIGH_AMOUNT', 2, %s, 'SQL', 'bob')",
        "ab" * 32,
    )
    with desk.engine.begin() as connection:
        add_entry(connection, "blacklist", Entry("account", "A", "stolen", None), who="bob")
    desk.feed(*records)
    with desk.engine.begin() as connection:
        resolve_alert(connection, "HIGH_AMOUNT:t0", "confirmed", who="ana", why="called", topic="decisions")
        audit.note(connection, "ana", "alerts.decide", "alert HIGH_AMOUNT:t0", reason="called")
    publisher = Publisher(desk.engine, broker.address, "test")
    assert publisher.publish() == 2
    publisher.close()


@pytest.mark.usefixtures("story")
def test_the_whole_way_has_times_and_places(desk: Desk, broker: BrokerProcess) -> None:
    found = steps(desk, broker, "t0")
    told = ["paid", "produced", "stored", "raised", "produced", "alert stored", "judged", "decided", "sent"]
    told += ["person", "sent", "audit"]
    assert [step["step"] for step in found if step["step"] != "verdict"] == told
    assert all(step["at"] for step in found)
    by = {step["step"]: step for step in reversed(found)}
    assert by["produced"]["at"] == "2025-11-21T02:40:03+00:00"
    assert by["produced"]["place"] == {"topic": "transactions", "partition": 0, "offset": 0}
    assert by["alert stored"]["place"] == {"topic": "fraud_alerts", "partition": 0, "offset": 0}
    places = [step["place"] for step in found if step["step"] == "sent"]
    assert [place["topic"] for place in places] == ["decisions", "decisions"] and places[0] != places[1]
    judged = by["judged"]["facts"]
    assert judged["sql_rule"]["deployed_by"] == "bob" and judged["sql_rule"]["sql"] == "ab" * 32
    [entry] = judged["blacklist"]
    assert (entry["change_no"], entry["changed_by"], judged["list_change_no"]) == (1, "bob", 1)
    assert judged["content"]["limits"]["base_score"] == 50
    assert by["audit"]["facts"]["entry_no"] == 1 and len(by["audit"]["facts"]["row_hash"]) == 64
    assert steps(desk, broker, "HIGH_AMOUNT:t0")[3:] == found[3:]


@pytest.mark.usefixtures("story")
def test_it_is_printed_and_recomputed(desk: Desk, broker: BrokerProcess) -> None:
    said = run(desk, broker, "t0", "--recompute")
    assert "Transaction t0" in said and "Alert HIGH_AMOUNT:t0" in said
    assert "transactions/0/0" in said and "blacklist v1: +100, insists on block" in said
    assert "SQL HIGH_AMOUNT version 2, statements abababababab, deployed" in said and "ana: confirmed  called" in said
    assert "HIGH_AMOUNT:t0 at 1: the same once more: block (100)" in said
    desk.rows("UPDATE decisions SET score = 7 WHERE decided_by = 'rules'")
    told = run(desk, broker, "t0", "--recompute", "--no-records", code=1)
    assert "DIFFERENT: HIGH_AMOUNT:t0 at 1: the score is stored as 7, and is 100 once more" in told


def test_what_is_refused_and_what_is_not_there(desk: Desk, broker: BrokerProcess) -> None:
    desk.feed(Record("transactions", 0, 0, b"A", b'{"transaction_id": "bad", "account_id": "A"}'))
    [refused] = steps(desk, broker, "bad")
    assert refused["step"] == "refused" and refused["place"]["offset"] == 0
    found = CliRunner().invoke(app, ["nothing", "--no-records"], env={"DATABASE_URL": desk.postgres.url()})
    assert "there is neither an alert nor a transaction nothing" in str(found.exception)


@pytest.mark.soak
@pytest.mark.usefixtures("story")
def test_without_kafka_the_rest_is_shown(desk: Desk) -> None:
    environment = {"DATABASE_URL": desk.postgres.url(), "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    get_settings.cache_clear()
    found = CliRunner().invoke(app, ["t0"], env=environment)
    assert found.exit_code == 0 and "decided" in found.stdout
    assert "when records were written and decisions sent is left out: Kafka at 127.0.0.1:1" in found.stderr
