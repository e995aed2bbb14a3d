"""Chargebacks: what the bank learns later about the fraud in the stream, as records of the topic `fraud_labels`.

Nine in ten of the fraudulent payments are disputed, after a log-normal delay (half of them within twelve days), and
one honest payment in ten thousand is, by a customer who does not recognise it.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from random import Random

import orjson

from streamguard.producer.record import Record

TOPIC = "fraud_labels"
DAY_MS = 86_400_000
REPORTED_SHARE = 0.9
FRIENDLY_SHARE = 0.0001
MEDIAN_DELAY_DAYS = 12.0
_SPREAD = 0.8


def delay_ms(rng: Random) -> int:
    """From the payment to its chargeback."""
    return round(math.exp(math.log(MEDIAN_DELAY_DAYS) + _SPREAD * rng.gauss(0.0, 1.0)) * DAY_MS)


def with_chargebacks(records: Iterable[Record], rng: Random) -> Iterator[Record]:
    """The records, each chargeback among them when its time has come, and at the end those that are still to come.

    The value: transaction_id, account_id, merchant_id, amount, is_fraud, reason (the kind of fraud), event_time of the
    payment, reported_at.
    """
    pending: list[tuple[int, int, Record]] = []
    for number, record in enumerate(records):
        while pending and pending[0][0] <= record.event_time:
            yield heapq.heappop(pending)[2]
        yield record
        share = REPORTED_SHARE if record.label else FRIENDLY_SHARE
        if not record.defect and rng.random() < share:
            chargeback = _chargeback(record, record.event_time + delay_ms(rng))
            heapq.heappush(pending, (chargeback.event_time, number, chargeback))
    while pending:
        yield heapq.heappop(pending)[2]


def _chargeback(record: Record, reported_at: int) -> Record:
    fields = orjson.loads(record.value or b"{}")
    value = {
        "transaction_id": fields["transaction_id"],
        "account_id": fields["account_id"],
        "merchant_id": fields.get("merchant_id"),
        "amount": fields["amount"],
        "is_fraud": bool(record.label),
        "reason": record.label or "not_recognised",
        "event_time": record.event_time,
        "reported_at": reported_at,
    }
    return Record(record.key, orjson.dumps(value), reported_at, topic=TOPIC)
