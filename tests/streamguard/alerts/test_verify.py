"""An alert against the payments of the log: same count, same amount, same payment, or a clear difference."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from kafka import KafkaProducer

from streamguard.alerts.verify import Claim, LogNotRead, differences, payments_of
from streamguard.config import load_settings
from streamguard.kafka.topics import ensure_topics
from streamguard.models import Transaction
from tests.support.broker import BrokerProcess
from tests.support.records import T0_MS, transaction

PAYMENTS = [
    Transaction.from_record(transaction(n, f"t{n}", "A", 10 + n, T0_MS + n).value, b"A") for n in range(4)
]  # 10, 11, 12, 13
WINDOW = Claim("V", "HIGH_VELOCITY", "A", "t3", Decimal("46.00"), 4, T0_MS, T0_MS + 60_000)
SINGLE = Claim("H", "HIGH_AMOUNT", "A", "t3", Decimal("13.00"), 1, T0_MS + 3, T0_MS + 3)


def test_a_log_that_is_not_read_to_its_end_is_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with BrokerProcess(tmp_path / "log") as broker:
        settings = load_settings(kafka_bootstrap_servers=broker.address)
        ensure_topics(settings)
        producer = KafkaProducer(bootstrap_servers=broker.address)
        for number in range(4):
            record = transaction(number, f"t{number}", "A", 10 + number, T0_MS + number)
            producer.send("transactions", key=b"A", value=record.value)
        producer.close()
        assert [payment.transaction_id for payment in payments_of(settings, WINDOW)] == ["t0", "t1", "t2", "t3"]
        monkeypatch.setattr("streamguard.alerts.verify.READ_WITHIN_S", -1.0)
        with pytest.raises(LogNotRead, match="not read to its end"):
            payments_of(settings, WINDOW)


@pytest.mark.parametrize(
    ("claim", "payments", "said"),
    [
        (WINDOW, PAYMENTS, []),
        (SINGLE, PAYMENTS[3:], []),
        (WINDOW, PAYMENTS[1:], ["the log has 3 payments in the window, the alert says 4", "amount is 36.00"]),
        (WINDOW, PAYMENTS[:3], ["the log has 3 payments", "t3 that raised the alert is not among", "amount is 33.00"]),
        (SINGLE, [], ["the log has no payment t3 of account A"]),
    ],
)
def test_differences_are_sentences(claim: Claim, payments: list[Transaction], said: list[str]) -> None:
    found = differences(claim, payments)
    assert len(found) == len(said)
    assert all(piece in sentence for piece, sentence in zip(said, found, strict=True))
