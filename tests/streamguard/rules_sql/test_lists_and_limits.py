"""The SQL rules that join (currency limits, blacklist, chargebacks) and validation as a stream: hits and borders."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from streamguard.evaluation.replay import Places, Sent
from streamguard.sqldeploy.script import read
from streamguard_ksql.local import LocalEngine
from streamguard_ksql.operators.record import InputRecord, OutputRecord
from streamguard_ksql.testing.harness import Harness
from tests.support.project import PROJECT_ROOT
from tests.support.records import T0_MS

DAY_MS = 86_400_000


class Box:
    """The files deployed in a box; records go in, topics come out."""

    def __init__(self, *files: str) -> None:
        self.harness = Harness({})
        for file in ("queries.sql", *files):
            for item in read(PROJECT_ROOT / "ksqldb" / file):
                self.harness.execute(item.statement)

    def put(self, topic: str, key: str, value: dict[str, Any] | None, at_ms: int = T0_MS) -> None:
        data = None if value is None else orjson.dumps(value)
        self.harness.feed(OutputRecord(topic, key.encode(), data, at_ms))

    def pay(self, transaction_id: str, account: str = "A", amount: float = 10, at_ms: int = T0_MS, **more: Any) -> None:
        value = {"transaction_id": transaction_id, "amount": amount, "currency": "BRL", "event_time": at_ms, **more}
        self.put("transactions", account, value, at_ms)

    def out(self, topic: str) -> list[dict[str, Any]]:
        records = [record for record in self.harness.written if record.topic == topic and record.value]
        return [
            {name.lower(): value for name, value in orjson.loads(record.value or b"").items()} for record in records
        ]

    def alerts(self, rule: str) -> dict[str, str | None]:
        """Transaction to account, as the key of the alert has it."""
        self.harness.settle()
        found: dict[str, str | None] = {}
        for record in self.harness.written:
            if record.topic == "fraud_alerts" and record.value and record.key:
                value = orjson.loads(record.value)
                if value["RULE"] == rule:
                    found[value["TRANSACTION_ID"]] = record.key.decode()
        return found


def test_a_currency_has_its_own_limit() -> None:
    box = Box("currency-limits.sql")
    for item, limit in (("BRL", 3_000), ("USD", 5_000), ("KES", 100_000)):
        box.put("currency_limits", item, {"LIMIT_AMOUNT": limit})
    box.pay("brl", amount=3_000.01)
    box.pay("brl-border", amount=3_000)
    box.pay("usd", amount=4_000, currency="USD")
    box.pay("lower", amount=5_000.01, currency="usd")
    box.pay("lower-border", amount=5_000, currency="Usd")
    box.pay("usd-over", account="B", amount=5_000.5, currency="USD")
    box.pay("kes", amount=100_000, currency="KES")
    box.pay("eur", amount=1_000_000, currency="EUR")
    assert box.alerts("CURRENCY_LIMIT") == {"brl": "A", "lower": "A", "usd-over": "B"}


def test_the_blacklist_knows_accounts_merchants_and_devices() -> None:
    box = Box("blacklist.sql")
    box.put("blacklist", "account:A", {"REASON": "stolen"})
    box.put("blacklist", "merchant:M", {"REASON": "closed", "EXPIRES_AT": T0_MS + 1})
    box.put("blacklist", "device:D", {"REASON": "rooted"})
    box.put("blacklist", "device:OFF", {"REASON": "mistake"})
    box.put("blacklist", "device:OFF", None)
    box.pay("account")
    box.pay("merchant", account="B", merchant_id="M")
    box.pay("expired", account="B", merchant_id="M", at_ms=T0_MS + 1)
    box.pay("device", account="B", device_id="D")
    box.pay("off", account="B", device_id="OFF")
    box.pay("other", account="M", merchant_id="D", device_id="A")
    assert box.alerts("BLACKLISTED") == {"account": "A", "merchant": "B", "device": "B"}


def test_a_merchant_is_compromised_by_frauds_that_nothing_else_explains() -> None:
    """The sentence: one such fraud for ten days, several for 28 days from the first; an unusual payment explains one."""
    engine = LocalEngine(partitions=3)
    alerts: list[InputRecord] = []
    engine.listen("fraud_alerts", alerts.extend)
    for file in ("queries.sql", "amount-rules.sql", "chargebacks.sql"):
        engine.run(item.statement for item in read(PROJECT_ROOT / "ksqldb" / file))
    places = Places()

    def feed(*sent: Sent) -> dict[str, tuple[int, int]]:
        """The COMPROMISED_MERCHANT alerts of this batch: transaction to number of frauds and time of the first."""
        alerts.clear()
        engine.feed([places.place(one) for one in sent])
        values = [orjson.loads(record.value or b"") for record in alerts]
        return {
            v["TRANSACTION_ID"]: (v["TX_COUNT"], v["WINDOW_START"])
            for v in values
            if v["RULE"] == "COMPROMISED_MERCHANT"
        }

    usual = [pay(f"u{n}", "victim", T0_MS + n, amount=10 + n) for n in range(8)]
    assert feed(*usual, pay("unusual", "victim", T0_MS + 100, amount=190)) == {}
    week = 7 * DAY_MS
    reported = [
        label("a1", "A", "M", T0_MS),
        label("honest", "B", "M", T0_MS + 1, is_fraud=False),
        label("stolen", "victim", "M", T0_MS + 2),
        label("nowhere", "C", None, T0_MS + 3),
    ]
    assert feed(
        *reported, pay("p1", "Z", T0_MS + week + 10), pay("other", "Z", T0_MS + week + 10, merchant_id="N")
    ) == {"p1": (1, T0_MS)}
    edge = T0_MS + 10 * DAY_MS
    assert feed(pay("last", "Z", edge - 1), pay("over", "Y", edge)) == {"last": (1, T0_MS)}
    second = label("a2", "D", "M", T0_MS + 5 * DAY_MS)
    assert feed(second, pay("again", "Z", T0_MS + 13 * DAY_MS)) == {"again": (2, T0_MS)}
    end = T0_MS + 28 * DAY_MS
    assert feed(pay("still", "Z", end - 1), pay("mended", "Y", end)) == {"still": (2, T0_MS)}


def pay(transaction_id: str, account: str, at_ms: int, amount: float = 10, merchant_id: str = "M") -> Sent:
    value = {"transaction_id": transaction_id, "amount": amount, "currency": "BRL", "event_time": at_ms}
    return Sent("transactions", account.encode(), orjson.dumps({**value, "merchant_id": merchant_id}), at_ms)


def label(transaction_id: str, account: str, merchant_id: str | None, event_ms: int, *, is_fraud: bool = True) -> Sent:
    """What is known a week after the payment."""
    at_ms = event_ms + 7 * DAY_MS
    value = {"transaction_id": transaction_id, "merchant_id": merchant_id, "is_fraud": is_fraud, "amount": 10}
    return Sent(
        "fraud_labels", account.encode(), orjson.dumps({**value, "event_time": event_ms, "reported_at": at_ms}), at_ms
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"transaction_id": None}, "transaction_id is missing or too long"),
        ({"transaction_id": "x" * 256}, "transaction_id is missing or too long"),
        ({"amount": None}, "amount is missing"),
        ({"amount": 0}, "amount is not above 0"),
        ({"amount": 10**12}, "amount is too large"),
        ({"amount": 5.555}, "amount has more decimal places than its currency"),
        ({"amount": 5.5, "currency": "jpy"}, "amount has more decimal places than its currency"),
        ({"currency": "XXX"}, "currency is not in ISO 4217"),
        ({"currency": None}, "currency is not in ISO 4217"),
        ({"event_time": None}, "event_time is missing"),
        ({"event_time": T0_MS // 1000}, "event_time is too early, or no milliseconds"),
        ({"event_time": 10**15}, "event_time lies in the future"),
        ({"country": "ZZ"}, "country is not in ISO 3166"),
        ({"country": "BR"}, None),
        ({"latitude": 1.0}, None),
        ({"latitude": 90.0, "longitude": 180.0}, None),
        ({"latitude": 90.1, "longitude": 0.5}, "no such place on earth"),
        ({"longitude": -181.0}, "no such place on earth"),
    ],
)
def test_validation_sorts_payments(changes: dict[str, Any], reason: str | None) -> None:
    box = Box("validation.sql")
    value = {"transaction_id": "t", "amount": 5, "currency": "BRL", "event_time": T0_MS, **changes}
    box.put("transactions", "A", value)
    box.harness.settle()
    assert [error["reason"] for error in box.out("error_logs")] == ([reason] if reason else [])
    assert len(box.out("transactions_clean")) == (0 if reason else 1)
