"""Records for tests, as a Kafka client would hand them over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

T0_MS = 1_763_692_800_000
"""A Friday in November 2025, 02:40 UTC, on the border of a minute."""


@dataclass(frozen=True)
class Record:
    """One record of a topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


def transaction_value(transaction_id: str, account: str, amount: float, at_ms: int, **more: Any) -> dict[str, Any]:
    """The JSON object of a transaction, with the fields that must be there and what else is given."""
    fields = {"transaction_id": transaction_id, "account_id": account, "amount": amount, "currency": "BRL"}
    return {**fields, "event_time": at_ms, **more}


def transaction(offset: int, transaction_id: str, account: str, amount: float, at_ms: int, **more: Any) -> Record:
    value = transaction_value(transaction_id, account, amount, at_ms, **more)
    return Record("transactions", 0, offset, account.encode(), orjson.dumps(value))


def high_amount(offset: int, transaction_id: str, account: str, amount: float, at_ms: int) -> Record:
    """The alert that the high-amount rule raises, in ksqlDB's upper case."""
    value = {
        "ALERT_ID": f"HIGH_AMOUNT:{transaction_id}",
        "RULE": "HIGH_AMOUNT",
        "TRANSACTION_ID": transaction_id,
        "AMOUNT": amount,
        "TX_COUNT": 1,
        "WINDOW_START": at_ms,
        "WINDOW_END": at_ms,
        "DETECTED_AT": at_ms,
    }
    return Record("fraud_alerts", 0, offset, account.encode(), orjson.dumps(value))


def high_velocity(offset: int, account: str, start_ms: int, transaction_ids: list[str], amount: float) -> Record:
    """The alert on a tumbling minute, at the state of evidence that `transaction_ids` gives."""
    value = {
        "ALERT_ID": f"HIGH_VELOCITY:{account}:{start_ms}",
        "RULE": "HIGH_VELOCITY",
        "TRANSACTION_ID": transaction_ids[-1],
        "AMOUNT": amount,
        "TX_COUNT": len(transaction_ids),
        "WINDOW_START": start_ms,
        "WINDOW_END": start_ms + 60_000,
        "DETECTED_AT": start_ms + 1_000 * len(transaction_ids),
    }
    return Record("fraud_alerts", 0, offset, account.encode(), orjson.dumps(value))
