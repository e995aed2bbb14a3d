"""An alert against the transactions of the topic: same count, same amount, same transaction, or a clear difference."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from kafka import KafkaProducer

from streamguard.alerts.verify import Claim, differences, transactions_of
from streamguard.config import load_settings
from streamguard.kafka.topics import ensure_topics
from streamguard.models import Transaction
from tests.support.broker import BrokerProcess
from tests.support.records import T0_MS, transaction

TRANSACTIONS = [
    Transaction.from_record(transaction(n, f"t{n}", "A", 10 + n, T0_MS + n).value, b"A") for n in range(4)
]  # 10, 11, 12, 13
DINARS = [
    Transaction.from_record(
        transaction(n, f"t{n}", "A", (1001 + 100 * n) / 1_000, T0_MS + n, currency="KWD").value, b"A"
    )
    for n in range(4)
]
WINDOW = Claim("V", "HIGH_VELOCITY", "A", "t3", Decimal("46.00"), 4, T0_MS, T0_MS + 60_000)
SINGLE = Claim("H", "HIGH_AMOUNT", "A", "t3", Decimal("13.00"), 1, T0_MS + 3, T0_MS + 3)


def test_the_transactions_of_an_alert_are_read_from_the_topic(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path / "log") as broker:
        settings = load_settings(kafka_bootstrap_servers=broker.address)
        ensure_topics(settings)
        producer = KafkaProducer(bootstrap_servers=broker.address)
        for number in range(4):
            record = transaction(number, f"t{number}", "A", 10 + number, T0_MS + number)
            producer.send("transactions", key=b"A", value=record.value)
        producer.close()
        assert [t.transaction_id for t in transactions_of(settings, WINDOW)] == ["t0", "t1", "t2", "t3"]


@pytest.mark.parametrize(
    ("claim", "transactions", "said"),
    [
        (WINDOW, TRANSACTIONS, []),
        (SINGLE, TRANSACTIONS[3:], []),
        (
            WINDOW,
            TRANSACTIONS[1:],
            ["3 transactions in the window, the alert states 4", "the sum in the topic is 36.00"],
        ),
        (
            WINDOW,
            TRANSACTIONS[:3],
            ["the topic has 3 transactions", "t3 that raised the alert is not among", "the sum in the topic is 33.00"],
        ),
        (replace(WINDOW, amount=Decimal("4.6049")), DINARS, ["the sum in the topic is 4.604, the alert states 4.605"]),
        (replace(WINDOW, amount=Decimal("4.6041")), DINARS, []),
        (SINGLE, [], ["the topic has no transaction t3 of account A"]),
    ],
)
def test_differences_are_sentences(claim: Claim, transactions: list[Transaction], said: list[str]) -> None:
    found = differences(claim, transactions)
    assert len(found) == len(said)
    assert all(piece in sentence for piece, sentence in zip(said, found, strict=True))
