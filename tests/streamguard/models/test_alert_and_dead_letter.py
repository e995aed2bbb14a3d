"""Alerts as ksqlDB and as Python write them; dead letters that give back the bytes they carry."""

from __future__ import annotations

from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.models import BadRecord, DeadLetter, FraudAlert

ALERT = {
    "alert_id": "HIGH_VELOCITY:A1:1763692800000",
    "rule": "HIGH_VELOCITY",
    "transaction_id": "t4",
    "amount": 400.0,
    "tx_count": 4,
    "window_start": 1763692800000,
    "window_end": 1763692860000,
    "detected_at": 1763692805000,
}


def test_upper_and_lower_case_read_alike() -> None:
    lower = FraudAlert.from_record(orjson.dumps(ALERT), b"A1")
    upper = FraudAlert.from_record(orjson.dumps({name.upper(): value for name, value in ALERT.items()}), b"A1")
    assert lower == upper
    assert lower.account_id == "A1"
    assert lower.amount == Decimal("400.00")


def test_the_value_may_name_the_account_too() -> None:
    assert FraudAlert.from_record(orjson.dumps({**ALERT, "ACCOUNT_ID": "A1"}), b"A1").account_id == "A1"
    with pytest.raises(BadRecord, match='the key has to be the account id: it is "A1", account_id is "A2"'):
        FraudAlert.from_record(orjson.dumps({**ALERT, "ACCOUNT_ID": "A2"}), b"A1")


def test_sums_of_doubles_are_rounded_to_cents() -> None:
    alert = FraudAlert.from_record(orjson.dumps({**ALERT, "amount": 0.1 + 0.2}), b"A1")
    assert alert.amount == Decimal("0.30")


def test_what_an_alert_may_lack() -> None:
    least = {"alert_id": "X:1", "rule": "X", "detected_at": 1}
    alert = FraudAlert.from_record(orjson.dumps(least), b"A1")
    assert (alert.amount, alert.tx_count, alert.window_start, alert.transaction_id) == (None, None, None, None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"alert_id": ""}, "alert_id: empty"),
        ({"tx_count": "four"}, "tx_count: a whole number is expected"),
        ({"tx_count": -1}, "tx_count: at least 0 is expected"),
        ({"amount": "much"}, "amount: a JSON number is expected, not a string"),
        ({"detected_at": None}, "detected_at: a whole number is expected"),
    ],
)
def test_a_bad_alert_is_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(BadRecord, match=reason):
        FraudAlert.from_record(orjson.dumps({**ALERT, **change}), b"A1")


def test_an_alert_without_a_key_is_rejected() -> None:
    with pytest.raises(BadRecord, match="the record has no key: it has to be the account id"):
        FraudAlert.from_record(orjson.dumps({**ALERT, "account_id": "A1"}), None)


def test_the_alert_of_the_longest_ids_is_taken() -> None:
    longest = {
        "transaction_id": "\U0001f4b3" * 255,
        "alert_id": "LOOKBACK_VELOCITY:" + "\U0001f4b3" * 255 + ":9223372036854775807",
    }
    alert = FraudAlert.from_record(orjson.dumps({**ALERT, **longest}), b"A1")
    assert (alert.alert_id, alert.transaction_id) == (longest["alert_id"], longest["transaction_id"])


@given(st.none() | st.binary(max_size=200), st.none() | st.binary(max_size=200), st.text(max_size=50))
def test_a_dead_letter_gives_back_its_bytes(key: bytes | None, value: bytes | None, reason: str) -> None:
    if any(0xD800 <= ord(letter) <= 0xDFFF for letter in reason):
        return
    letter = DeadLetter(topic="t", partition=2, offset=7, reason=reason, key=key, value=value, failed_at=1)
    assert DeadLetter.from_json(letter.to_json()) == letter


def test_what_is_no_dead_letter_is_refused() -> None:
    with pytest.raises(BadRecord, match="offset: missing"):
        DeadLetter.from_json(b'{"topic":"t","partition":0,"reason":"r","failed_at":1}')
    with pytest.raises(BadRecord, match="not base64"):
        DeadLetter.from_json(b'{"topic":"t","partition":0,"offset":1,"reason":"r","failed_at":1,"value":"?"}')
