"""Seeded payments of the generator as a lake, and decisions on them: what the jobs and the plain reading both read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import deltalake
import orjson
import pyarrow as pa

from streamguard.producer.runs import Recipe, Run

Row = dict[str, Any]

START_MS = 1_767_571_200_000
"""2026-01-05T00:00Z, a Monday."""
TRANSACTION = pa.schema(
    [
        *((name, pa.string()) for name in ("transaction_id", "account_id")),
        ("amount", pa.decimal128(19, 4)),
        *((name, pa.string()) for name in "currency transaction_type channel merchant_id merchant_name".split()),
        *((name, pa.string()) for name in "merchant_category city country device_id ip_address".split()),
        *((name, pa.float64()) for name in ("latitude", "longitude")),
        ("event_time", pa.timestamp("us", "UTC")),
        ("is_fraud", pa.bool_()),
        ("day", pa.date32()),
    ]
)
_DECISION = pa.schema(
    [
        ("alert_id", pa.string()),
        ("tx_count", pa.int64()),
        *((name, pa.string()) for name in ("rule", "account_id", "transaction_id", "outcome", "decided_by")),
        ("decided_at", pa.timestamp("us", "UTC")),
        ("day", pa.date32()),
    ]
)


@dataclass(frozen=True)
class Made:
    """The payments and decisions as rows, and the folder of the lake that has them."""

    payments: list[Row]
    decisions: list[Row]
    lake: Path


def make(lake: Path, count: int, days: int) -> Made:
    """`count` payments of three profiles over some `days`, with four currencies or more, written as Delta tables."""
    payments = []
    for number, (profile, per_day) in enumerate((("br", 3.0), ("ke-mpesa", 4.0), ("psp", 1.2))):
        share = count // 3 if number < 2 else count - 2 * (count // 3)
        run = Run(Recipe(profile, seed=11, customers=max(20, round(share / days / per_day)), fraud_share=0.02))
        payments += [_payment(record) for record in run.batch(share, START_MS + number * 3_600_000, None, START_MS)]
    rng = Random(5)
    for payment in payments:
        if rng.random() < 0.25:
            payment["is_fraud"] = None
        for name in ("channel", "merchant_category", "transaction_type"):
            if rng.random() < 0.01:
                payment[name] = None
    decisions = list(_decisions(payments, rng))
    write(lake / "transactions", payments, TRANSACTION)
    write(lake / "decisions", decisions, _DECISION)
    return Made(payments, decisions, lake)


def write(folder: Path, rows: list[Row], schema: pa.Schema) -> None:
    """A Delta table with a column that nobody here reads, as the lake's have."""
    table = pa.Table.from_pylist(rows, schema).append_column("offset", pa.array(range(len(rows)), pa.int64()))
    deltalake.write_deltalake(str(folder), table, partition_by=["day"])


def _payment(record: Any) -> Row:
    fields = orjson.loads(record.value)
    at = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=fields["event_time"])
    kept = {name: fields.get(name) for name in TRANSACTION.names}
    amount = Decimal(repr(fields["amount"])).quantize(Decimal("0.0001"))
    return {**kept, "amount": amount, "event_time": at, "is_fraud": bool(record.label), "day": at.date()}


def _decisions(payments: list[Row], rng: Random) -> Any:
    """Alerts on most frauds and some honest payments; analysts confirm, dismiss and change their minds."""
    for payment in payments:
        fraud = payment["is_fraud"]
        if rng.random() >= (0.8 if fraud else 0.01):
            continue
        at = payment["event_time"]
        for rule in rng.sample(("HIGH_AMOUNT", "VELOCITY", "IMPOSSIBLE_TRAVEL"), rng.choice((1, 1, 2))):
            base = {"alert_id": f"{rule}:{payment['transaction_id']}", "tx_count": 1, "rule": rule}
            base |= {name: payment[name] for name in ("account_id", "transaction_id")}
            outcome = rng.choice(("block", "block", "review", "dismiss"))
            yield {**base, "outcome": outcome, "decided_by": "rules", "decided_at": at, "day": at.date()}
            words = rng.choice(
                ((), ("confirmed",), ("dismissed",), ("confirmed", "reopened"), ("dismissed", "confirmed"))
            )
            for number, word in enumerate(words, 1):
                later = at + timedelta(minutes=number)
                yield {**base, "outcome": word, "decided_by": "analyst:ana", "decided_at": later, "day": later.date()}
