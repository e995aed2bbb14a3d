"""`streamguard alerts verify ID`: read the log again and recompute an alert from the payments it speaks of.

The log, not the database, is asked: payments of the alert's account inside its window, or the one it names. What they add
up to must be what the alert says; else each difference is a sentence.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from decimal import Decimal

from kafka import KafkaConsumer, TopicPartition
from sqlalchemy import Connection, text

from streamguard.alerts.actions import NoSuchAlert
from streamguard.config import Settings, UserError
from streamguard.models import BadRecord, Transaction
from streamguard.privacy.protection import Protection

READ_WITHIN_S = 120.0


class LogNotRead(UserError):
    """The log did not hand over all its records in time: nothing can be said of the alert."""


@dataclass(frozen=True)
class Claim:
    """What an alert says. Times in epoch milliseconds; the window is [start_ms, end_ms)."""

    alert_id: str
    rule: str
    account_id: str
    transaction_id: str | None
    amount: Decimal | None
    tx_count: int
    start_ms: int | None
    end_ms: int | None

    @property
    def is_window(self) -> bool:
        """Whether it speaks of a stretch of time, not of one payment."""
        return self.start_ms is not None and self.end_ms is not None and self.end_ms > self.start_ms


def claim_of(connection: Connection, alert_id: str) -> Claim:
    """The alert as stored. Raises NoSuchAlert."""
    milliseconds = "(extract(epoch FROM {}) * 1000)::BIGINT"
    row = connection.execute(
        text(
            "SELECT alert_id, rule, account_id, transaction_id, amount, tx_count,"
            f" {milliseconds.format('window_start')}, {milliseconds.format('window_end')}"
            " FROM fraud_alerts WHERE alert_id = :id"
        ),
        {"id": alert_id},
    ).first()
    if row is None:
        raise NoSuchAlert(f"there is no alert {alert_id}")
    return Claim(*row)


def payments_of(settings: Settings, claim: Claim) -> list[Transaction]:
    """The payments that the claim speaks of, from the log, in its order; the first of each id. Raises LogNotRead."""
    found: dict[str, Transaction] = {}
    account = claim.account_id.encode()
    reader = KafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap_servers.split(","),
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    try:
        numbers = sorted(reader.partitions_for_topic(settings.transactions_topic) or ())
        partitions = [TopicPartition(settings.transactions_topic, number) for number in numbers]
        reader.assign(partitions)
        ends = reader.end_offsets(partitions)
        reader.seek_to_beginning(*partitions)
        deadline = time.monotonic() + READ_WITHIN_S
        protection = Protection.of(settings)
        while any(reader.position(p) < ends[p] for p in partitions):
            if time.monotonic() > deadline:
                raise LogNotRead(f"the log was not read to its end within {READ_WITHIN_S:.0f} s")
            for records in reader.poll(timeout_ms=500).values():
                for record in records:
                    if protection.key(record.key) != account:
                        continue
                    if (payment := _payment(record.value, record.key, claim)) is not None:
                        found.setdefault(payment.transaction_id, payment)
        return list(found.values())
    finally:
        reader.close(autocommit=False)


def _payment(value: bytes | None, key: bytes | None, claim: Claim) -> Transaction | None:
    try:
        payment = Transaction.from_record(value, key)
    except BadRecord:
        return None
    if claim.is_window:
        assert claim.start_ms is not None and claim.end_ms is not None
        return payment if claim.start_ms <= payment.event_time < claim.end_ms else None
    return payment if payment.transaction_id == claim.transaction_id else None


SUMMED = ("HIGH_AMOUNT", "HIGH_VELOCITY", "WINDOW_AMOUNT")
"""Rules whose amount is the sum of their payments; the others name the amount of the payment that raised them."""


def differences(claim: Claim, payments: list[Transaction]) -> list[str]:
    """What the log says differently; empty when the alert is confirmed by it."""
    found = []
    if claim.is_window and len(payments) != claim.tx_count:
        found.append(f"the log has {len(payments)} payments in the window, the alert says {claim.tx_count}")
    if not claim.is_window and not payments:
        found.append(f"the log has no payment {claim.transaction_id} of account {claim.account_id}")
    if claim.transaction_id and payments and all(p.transaction_id != claim.transaction_id for p in payments):
        found.append(f"the payment {claim.transaction_id} that raised the alert is not among them")
    if claim.amount is not None and payments:
        if claim.rule in SUMMED:
            amount = sum((payment.amount for payment in payments), Decimal(0))
        else:
            amount = next((p.amount for p in payments if p.transaction_id == claim.transaction_id), Decimal(0))
        if amount != claim.amount:
            found.append(f"the log's amount is {amount:,.2f}, the alert says {claim.amount:,.2f}")
    return found
