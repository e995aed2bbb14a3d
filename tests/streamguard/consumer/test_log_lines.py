"""The logs of running processes as JSON: each line has the fields, decisions and dead letters their ids, none personal data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
from kafka import KafkaProducer

from tests.support.broker import BrokerProcess
from tests.support.desk import Desk
from tests.support.ksqldb import KsqlServerProcess
from tests.support.processes import Program, eventually
from tests.support.records import T0_MS, high_amount, transaction_value

ACCOUNT, ADDRESS, DEVICE, CARD = "ACC-PERSONAL-77", "203.0.113.77", "dev-personal-77", "4111111111111111"
FIELDS = {"time", "level", "process", "logger", "message"}


def lines(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    assert all(line.keys() >= FIELDS for line in found)
    return found


def test_a_consumer_that_protects_names_nobody_in_its_log(desk: Desk, broker: BrokerProcess, tmp_path: Path) -> None:
    protected = {f"STREAMGUARD_PII_{kind}": "mask" for kind in ("ACCOUNT", "IP", "DEVICE", "CARD")}
    environment = {
        "DATABASE_URL": desk.postgres.url(),
        "KAFKA_BOOTSTRAP_SERVERS": broker.address,
        "STREAMGUARD_PII_KEY": "a key of sixteen characters",
        "STREAMGUARD_LOG_FORMAT": "json",
        "STREAMGUARD_LOG_LEVEL": "DEBUG",
        "STREAMGUARD_METRICS_PORT": "0",
        "STREAMGUARD_STATE_DIR": str(tmp_path / "state"),
    }
    program = Program("consumer", ["streamguard.cli", "consume"], {**environment, **protected}, tmp_path)
    program.start()
    try:
        eventually(program.said, lambda said: "assigned" in said, 60)
        more = {"ip_address": ADDRESS, "device_id": DEVICE, "merchant_name": f"card {CARD}", "card_number": CARD}
        good = transaction_value("t0", ACCOUNT, 4_000, T0_MS, **more)
        bad = [{**good, "transaction_id": "t1", "amount": ADDRESS}, {**good, "account_id": f"{ACCOUNT}-other"}]
        bad += [{**good, "transaction_id": ACCOUNT, "currency": CARD}, {**good, "event_time": ACCOUNT}]
        alert = high_amount(0, "t0", ACCOUNT, 4_000, T0_MS)
        producer = KafkaProducer(bootstrap_servers=broker.address)
        for value in [orjson.dumps(good), *map(orjson.dumps, bad), ACCOUNT.encode()]:
            producer.send("transactions", value, ACCOUNT.encode())
        producer.send("fraud_alerts", alert.value, alert.key)
        producer.close()
        eventually(program.said, lambda said: said.count("dead letter transactions/") == 5 and "decided" in said, 60)
    finally:
        program.end()
    said = program.said()
    assert not [value for value in (ACCOUNT, ADDRESS, DEVICE, CARD) if value in said]
    found = lines(said)
    assert {line["process"] for line in found} == {"consumer"}
    [decided] = [line for line in found if "alert_id" in line]
    assert (decided["alert_id"], decided["transaction_id"]) == ("HIGH_AMOUNT:t0", "t0")
    places = [
        line["offset"]
        for line in found
        if line["message"].startswith("dead letter") and line["topic"] == "transactions"
    ]
    assert len(set(places)) == 5


def test_broker_and_engine_write_json_where_they_are_told_to(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path / "broker", arguments=("--log-format", "json")) as broker:
        engine = KsqlServerProcess(tmp_path / "engine", broker.address, ("--log-format", "json")).start()
        engine.stop()
    assert {line["process"] for line in lines(broker.log())} == {"broker"}
    assert {line["process"] for line in lines(engine.log_path.read_text())} == {"ksqldb"}
