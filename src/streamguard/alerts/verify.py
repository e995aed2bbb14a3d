"""`streamguard alerts verify ID`: re-read the topic and recompute an alert from its transactions.

The topic is read, not the database: the transactions of the alert's account inside its window, or the one it names. Their
count and sum must be those of the alert; each difference is a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, text

from streamguard.alerts.actions import NoSuchAlert
from streamguard.config import Settings
from streamguard.database.rows import select_as
from streamguard.kafka.topic_reader import TopicReader
from streamguard.models import BadRecord, Transaction, in_coins, places, show_amount
from streamguard.privacy.protection import NO_PROTECTION, Protection


@dataclass(frozen=True)
class Claim:
    """What an alert states. Times in epoch milliseconds; the window is [start_ms, end_ms)."""

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
        """Whether it is about a window, not about one transaction."""
        return self.start_ms is not None and self.end_ms is not None and self.end_ms > self.start_ms


_CLAIM = """
SELECT alert_id, rule, account_id, transaction_id, amount, tx_count,
    CAST(extract(epoch FROM window_start) * 1000 AS BIGINT) AS start_ms,
    CAST(extract(epoch FROM window_end) * 1000 AS BIGINT) AS end_ms
FROM fraud_alerts WHERE alert_id = :id
"""


def claim_of(connection: Connection, alert_id: str) -> Claim:
    """The alert as stored. Raises NoSuchAlert."""
    claims = select_as(connection, Claim, text(_CLAIM), {"id": alert_id})
    if not claims:
        raise NoSuchAlert(f"there is no alert {alert_id}")
    return claims[0]


def transactions_of(settings: Settings, claim: Claim, protection: Protection = NO_PROTECTION) -> list[Transaction]:
    """The claim's transactions, from the topic, in its order; the first of each id. Raises TopicNotRead.

    `protection` is that of the database that the claim comes from.
    """
    found: dict[str, Transaction] = {}
    account = claim.account_id.encode()
    for record in TopicReader(settings.kafka_bootstrap_servers, settings.transactions_topic):
        if protection.key(record.key) != account:
            continue
        if (transaction := _transaction(record.value, record.key, claim)) is not None:
            found.setdefault(transaction.transaction_id, transaction)
    return list(found.values())


def _transaction(value: bytes | None, key: bytes | None, claim: Claim) -> Transaction | None:
    try:
        transaction = Transaction.from_record(value, key)
    except BadRecord:
        return None
    if claim.is_window:
        assert claim.start_ms is not None and claim.end_ms is not None
        return transaction if claim.start_ms <= transaction.event_time < claim.end_ms else None
    return transaction if transaction.transaction_id == claim.transaction_id else None


SUMMED = ("HIGH_AMOUNT", "HIGH_VELOCITY", "WINDOW_AMOUNT")
"""Rules whose amount is the sum of their transactions; the others name the amount of the transaction that raised them."""


def differences(claim: Claim, transactions: list[Transaction]) -> list[str]:
    """Where the topic differs from the alert; empty where it confirms it."""
    found = []
    if claim.is_window and len(transactions) != claim.tx_count:
        found.append(f"the topic has {len(transactions)} transactions in the window, the alert states {claim.tx_count}")
    if not claim.is_window and not transactions:
        found.append(f"the topic has no transaction {claim.transaction_id} of account {claim.account_id}")
    if claim.transaction_id and transactions and all(p.transaction_id != claim.transaction_id for p in transactions):
        found.append(f"the transaction {claim.transaction_id} that raised the alert is not among them")
    if claim.amount is not None and transactions:
        if claim.rule in SUMMED:
            amount = sum((transaction.amount for transaction in transactions), Decimal(0))
        else:
            amount = next((p.amount for p in transactions if p.transaction_id == claim.transaction_id), Decimal(0))
        # ksqlDB adds DOUBLEs: what is less than the smallest coin is no difference.
        currency = max((transaction.currency for transaction in transactions), key=places)
        if in_coins(amount, currency) != in_coins(claim.amount, currency):
            topic, alert = (show_amount(each, currency) for each in (amount, claim.amount))
            found.append(f"the sum in the topic is {topic}, the alert states {alert}")
    return found
