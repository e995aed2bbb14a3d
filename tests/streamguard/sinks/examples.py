"""Records as the topics have them, good and bad, for the tests of every sink."""

from __future__ import annotations

import json
from typing import Any

import orjson

from streamguard.sinks import SinkRecord

DAY_MS = 86_400_000
BEGIN_MS = 1_767_225_600_000  # 2026-01-01T00:00Z


def transaction(offset: int, partition: int = 0, *, label: bytes | None = None, **changes: Any) -> SinkRecord:
    time_ms = changes.get("event_time", BEGIN_MS + offset * 1_000)
    fields = {
        "transaction_id": f"t-{partition}-{offset}",
        "account_id": f"A{offset % 3}",
        "amount": 10.25 + offset,
        "currency": "BRL",
        "transaction_type": "purchase",
        "merchant_id": f"M{offset % 5}",
        "merchant_category": "grocery",
        "event_time": time_ms,
    } | changes
    headers = () if label is None else (("label", label),)
    key = fields["account_id"].encode()
    return SinkRecord("transactions", partition, offset, key, orjson.dumps(fields), time_ms, headers)


def alert(offset: int, partition: int = 0, **changes: Any) -> SinkRecord:
    fields = {
        "ALERT_ID": f"HIGH_AMOUNT:t-{offset}",
        "RULE": "HIGH_AMOUNT",
        "ACCOUNT_ID": "A1",
        "TRANSACTION_ID": f"t-{offset}",
        "AMOUNT": 1234.5,
        "TX_COUNT": 1,
        "WINDOW_START": BEGIN_MS,
        "WINDOW_END": BEGIN_MS,
        "DETECTED_AT": BEGIN_MS + offset,
    } | changes
    return SinkRecord("fraud_alerts", partition, offset, b"A1", orjson.dumps(fields), BEGIN_MS + offset)


def decision(offset: int, partition: int = 0, **changes: Any) -> SinkRecord:
    fields = {
        "alert_id": f"HIGH_AMOUNT:t-{offset}",
        "tx_count": 1,
        "rule": "HIGH_AMOUNT",
        "account_id": "A1",
        "transaction_id": f"t-{offset}",
        "outcome": "block",
        "score": 90,
        "reason": "too much",
        "verdicts": [{"rule": "amount", "points": 90}],
        "decided_by": "rules",
        "decided_at": BEGIN_MS + offset,
    } | changes
    return SinkRecord("decisions", partition, offset, b"A1", json.dumps(fields).encode(), BEGIN_MS + offset)


def poison(offset: int, topic: str = "transactions", partition: int = 0, value: bytes | None = b"\xff{") -> SinkRecord:
    return SinkRecord(topic, partition, offset, b"A", value, BEGIN_MS + offset)


POISON = [b"\xff{", b"", None, b"[]", b"{}", b"null", b'{"amount": 1e400}', b"\x00" * 40, b'{"a":' * 3_000]
"""Values that are no valid record of any topic."""
EXTREME_DECISIONS = [{"score": 2**63}, {"tx_count": 2**70}, {"decided_at": 2**62}, {"decided_at": -1}]
"""Changes to a decision that no column takes."""
