"""Personal data with protection on: nowhere in the clear, and everything that must find each other still does."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.config import SettingsError, load_settings
from streamguard.consumer.loop import Consumer
from streamguard.consumer.publisher import Publisher
from streamguard.consumer.store import Store
from streamguard.models import BadRecord, FraudAlert
from streamguard.privacy.lists import protect_lists
from streamguard.privacy.protection import NO_PROTECTION, Protection
from tests.streamguard.consumer.test_store import STATE
from tests.support.desk import Desk
from tests.support.records import T0_MS, Record, high_amount, high_velocity, transaction

KEY = "a secret that only this test knows"
ACCOUNT, CARD, IP, DEVICE = "BR-00040607", "4111222233334444", "104.149.25.124", "dev-516ee7b1"
CLEAR = (ACCOUNT, CARD, IP, DEVICE)
KINDS = ("account", "card", "ip", "device")
TABLES = (
    "transactions",
    "transaction_records",
    "fraud_alerts",
    "alert_transactions",
    "decisions",
    "dead_letters",
    "lists",
    "outbox",
    "list_history",
)

PERSONAL = {
    "device_id": DEVICE,
    "ip_address": IP,
    "cardNumber": CARD,
    "payer": {"account": ACCOUNT, "cards": [{"pan": int(CARD)}], "note": f"from {ACCOUNT}, {IP}"},
}
BURST = [transaction(n, f"t{n}", ACCOUNT, 10.0, T0_MS + n, merchant_id="M1", **PERSONAL) for n in range(4)]
BIG = transaction(4, "big", ACCOUNT, 4_000.0, T0_MS + 4, **PERSONAL)
ALERTS = [
    high_velocity(0, ACCOUNT, T0_MS, ["t0", "t1", "t2", "t3"], 40.0),
    high_amount(1, "big", ACCOUNT, 4_000.0, T0_MS + 4),
]


def all_of(mode: str) -> Protection:
    return Protection(dict.fromkeys(KINDS, mode), KEY)


@pytest.fixture(params=["token", "mask"])
def guarded(desk: Desk, request: pytest.FixtureRequest) -> Iterator[tuple[Desk, Consumer, Protection]]:
    """A desk whose consumer protects every kind."""
    protection = all_of(request.param)
    store = Store(desk.engine, desk.settings, protection=protection)
    publisher = Publisher(desk.engine, desk.settings.kafka_bootstrap_servers, "test")
    yield desk, Consumer(desk.settings, store, publisher, threading.Event(), protection), protection


def feed(desk: Desk, consumer: Consumer, *records: Record) -> None:
    found: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        found.setdefault((record.topic, record.partition), []).append(record)
    consumer.store_records(desk.store.offsets(found), found)


def everything(desk: Desk) -> str:
    """All rows of all tables as one text, bytes read as text."""
    found = []
    for table in TABLES:
        for row in desk.rows(f"SELECT * FROM {table}"):
            found += [bytes(cell).decode("latin-1") if isinstance(cell, memoryview) else str(cell) for cell in row]
    return "\n".join(found)


BAD = [
    Record("transactions", 0, 5, ACCOUNT.encode(), f'{{"account_id": "{ACCOUNT}", "pan": {CARD}'.encode()),
    Record("transactions", 0, 6, ACCOUNT.encode(), orjson.dumps([ACCOUNT, CARD, IP, DEVICE])),
    Record("transactions", 0, 7, ACCOUNT.encode(), orjson.dumps({"account_id": "other", "ip": IP, "pan": CARD})),
    Record("transactions", 0, 8, ACCOUNT.encode(), orjson.dumps({**PERSONAL, "ip_address": [IP], "amount": CARD})),
    Record("transactions", 0, 9, b"\xff" + ACCOUNT.encode(), orjson.dumps(PERSONAL)),
    transaction(10, "t0", ACCOUNT, 1.0, T0_MS, **PERSONAL),  # an id stored before
    transaction(11, "t11", ACCOUNT, 1.0, T0_MS, city="Nowhere", **PERSONAL),  # rejected by the database
    Record("transactions", 0, 12, ACCOUNT.encode(), None),
    Record("fraud_alerts", 0, 2, ACCOUNT.encode(), orjson.dumps({"ALERT_ID": f"HIGH_VELOCITY:{ACCOUNT}:1"})),
]


def test_nothing_is_in_the_clear_in_rows_raw_records_dead_letters_or_logs(
    guarded: tuple[Desk, Consumer, Protection], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    desk, consumer, protection = guarded
    desk.rows("ALTER TABLE transactions ADD CONSTRAINT odd CHECK (city IS DISTINCT FROM 'Nowhere')")
    feed(desk, consumer, *BURST, BIG, *ALERTS, *BAD)
    assert desk.rows("SELECT count(*) FROM transaction_records") == [(5,)]
    assert desk.rows("SELECT count(*) FROM dead_letters") == [(len(BAD),)]
    text = everything(desk) + caplog.text
    assert {value: value in text for value in CLEAR} == dict.fromkeys(CLEAR, False)
    [(account, device, address, raw)] = desk.rows(
        "SELECT account_id, device_id, ip_address, raw FROM transactions"
        " JOIN transaction_records USING (event_time, transaction_id) WHERE transaction_id = 'big'"
    )
    stored = {kind: protection.value(kind, value) for kind, value in zip(KINDS, CLEAR, strict=True)}
    assert (account, device, address) == (stored["account"], stored["device"], stored["ip"])
    assert isinstance(raw, dict)
    assert raw["cardNumber"] == raw["payer"]["cards"][0]["pan"] == stored["card"]
    assert raw["payer"]["note"] == f"from {stored['account']}, {stored['ip']}"
    assert (raw["transaction_id"], raw["amount"]) == ("big", 4_000.0)
    reasons = [str(row[0]) for row in desk.rows("SELECT reason FROM dead_letters WHERE source_topic = 'transactions'")]
    assert "the key has to be the account id" in reasons
    assert "a JSON array: one transaction per record is expected" in reasons


def test_alerts_find_their_payments_and_lists_their_entries(guarded: tuple[Desk, Consumer, Protection]) -> None:
    desk, consumer, protection = guarded
    entry = "INSERT INTO lists (list, kind, value, reason) VALUES ('blacklist', %s, %s, %s)"
    desk.rows(entry, "device", protection.listed("device", DEVICE), "rooted")
    desk.rows(entry, "ip", IP, "made by hand, in the clear")
    desk.rows(entry, "merchant", "M1", "no person")
    assert protect_lists(desk.engine, protection) == 1
    assert protect_lists(desk.engine, protection) == 0
    feed(desk, consumer, *ALERTS)
    feed(desk, consumer, *BURST, BIG)
    account = protection.value("account", ACCOUNT)
    alert = f"HIGH_VELOCITY:{account}:{T0_MS}"
    linked = desk.rows("SELECT transaction_id FROM alert_transactions WHERE alert_id = %s ORDER BY 1", alert)
    assert linked == [("big",), ("t0",), ("t1",), ("t2",), ("t3",)]
    assert desk.rows("SELECT count(*) FROM transactions WHERE is_fraud") == [(5,)]
    assert desk.rows("SELECT account_id, outcome FROM fraud_alerts ORDER BY rule") == [(account, "block")] * 2
    [(reason,)] = desk.rows("SELECT reason FROM decisions WHERE alert_id = 'HIGH_AMOUNT:big'")
    assert "rooted" in str(reason) and "made by hand" in str(reason)
    assert not any(value in everything(desk) for value in CLEAR)


def test_protection_changes_names_and_nothing_else(desk: Desk) -> None:
    """The same decisions on the same evidence: only personal values read otherwise."""
    feed_all = [*BURST, BIG, *ALERTS, transaction(5, "other", "BR-2", 5_000, T0_MS, device_id="dev-2")]
    states = []
    for protection in (NO_PROTECTION, all_of("token")):
        publisher = Publisher(desk.engine, desk.settings.kafka_bootstrap_servers, "test")
        store = Store(desk.engine, desk.settings, protection=protection)
        feed(desk, Consumer(desk.settings, store, publisher, threading.Event(), protection), *feed_all)
        text = repr([sorted(map(repr, desk.rows(statement))) for statement in STATE[:4]])
        for account in ("BR-2", ACCOUNT):
            text = text.replace(all_of("token").value("account", account), account)
        states.append("".join(sorted(text)))
        desk.rows(
            "TRUNCATE transactions, fraud_alerts, alert_handling, alert_notes,"
            " alert_transactions, alert_versions, alerts_to_check, decisions, consumer_offsets"
        )
    assert states[0] == states[1]


def test_a_key_is_asked_for_and_shown_to_nobody() -> None:
    with pytest.raises(SettingsError, match="STREAMGUARD_PII_KEY: masks and tokens need a secret"):
        load_settings(pii_ip="mask", pii_key="short")
    settings = load_settings(pii_ip="mask", pii_key=KEY, pii_fields={"payer_iban": "ip"})
    assert KEY not in repr(settings) + str(settings.model_dump())
    protection = Protection({"ip": "mask"}, KEY, settings.pii_fields)
    assert b"192.0.2.7" not in protection.raw(b'{"Payer-IBAN": "192.0.2.7"}', None)
    assert protection.raw(b'{"account_id": "A1"}', b"A1") == b'{"account_id":"A1"}'


def test_other_keys_and_kinds_give_other_tokens() -> None:
    tokens = all_of("token")
    assert tokens.value("account", "x") == tokens.value("account", "x") != tokens.value("device", "x")
    assert tokens.value("account", "x") != Protection({"account": "token"}, KEY + "!").value("account", "x")
    masks = all_of("mask")
    assert masks.value("card", CARD).startswith("****4444~")
    assert masks.value("ip", IP).startswith("104.149.*~")
    assert masks.value("account", "A7").startswith("****~")
    assert masks.value("card", CARD) != masks.value("card", "9" + CARD)
    for protection in (tokens, masks):
        for kind in KINDS:
            once = protection.value(kind, "value-1234")
            assert protection.listed(kind, once) == once


@given(st.text(min_size=1, max_size=30), st.sampled_from(["token", "mask"]))
def test_an_alert_and_its_payment_have_one_account(account: str, mode: str) -> None:
    protection = all_of(mode)
    value = {"ALERT_ID": f"HIGH_VELOCITY:{account}:7", "RULE": "HIGH_VELOCITY", "DETECTED_AT": 7, "TX_COUNT": 4}
    try:
        alert = FraudAlert.from_record(orjson.dumps(value), account.encode())
    except BadRecord:
        return
    kept = protection.alert(alert)
    assert kept.account_id == protection.value("account", alert.account_id)
    if account not in ("HIGH", "VELOCITY", "7"):
        assert kept.alert_id == f"HIGH_VELOCITY:{kept.account_id}:7"


def test_the_command_line_takes_clear_values_and_stored_ones(desk: Desk) -> None:
    token = all_of("token").value("device", DEVICE)
    environment = {
        "PATH": "/usr/bin:/bin",
        "DATABASE_URL": desk.postgres.url(),
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "STREAMGUARD_PII_DEVICE": "token",
        "STREAMGUARD_PII_KEY": KEY,
    }

    def say(*words: str) -> str:
        command = [sys.executable, "-m", "streamguard.cli", "blacklist", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert say("add", "device", DEVICE, "--reason", "rooted") == f"device {token} is on the blacklist\n"
    assert desk.rows("SELECT value FROM lists WHERE list = 'blacklist'") == [(token,)]
    assert DEVICE not in say("list")
    assert say("remove", "device", token) == f"device {token} is off the blacklist\n"
