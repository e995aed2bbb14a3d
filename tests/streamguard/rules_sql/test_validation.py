"""ksqldb/validation.sql: transactions sorted into those that rules see and those that have a reason."""

from __future__ import annotations

from typing import Any

import pytest

from tests.streamguard.rules_sql.reading import Box
from tests.support.records import T0_MS


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
