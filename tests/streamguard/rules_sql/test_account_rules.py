"""ksqldb/account-rules.sql and amount-rules.sql against a plain reading of each rule, over a generated day and card payments."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.streamguard.rules_sql.reading import (
    Pay,
    anomalies,
    card_payments,
    file_payments,
    lookback,
    run_sql,
    spends,
    travels,
)
from tests.support.cards import HANDBOOK, NO_HANDBOOK, write_months

FILES = ("queries.sql", "account-rules.sql", "amount-rules.sql")

LIMITS = {
    "lookback_count": "3",
    "lookback_ms": "60000",
    "burst_count": "5",
    "burst_ms": "120000",
    "anomaly_times": "10",
    "known_after": "5",
    "spend_amount": "10000",
}
CARD_LIMITS = {
    "lookback_count": "2",
    "lookback_ms": "3600000",
    "burst_count": "3",
    "burst_ms": "14400000",
    "anomaly_times": "4",
    "known_after": "2",
    "spend_amount": "200",
}
"""Limits that fit the card data, in which nobody pays four times a minute."""


def check_all(payments: list[Pay], limits: dict[str, str]) -> dict[str, int]:
    """Every rule of the file against its plain reading; returns how many alerts each raised."""
    found = run_sql(FILES, payments, limits)
    number = {name: int(value) for name, value in limits.items()}
    by_rule: dict[str, set[str]] = {}
    for alert_id in found:
        by_rule.setdefault(alert_id.split(":")[0], set()).add(alert_id)
    velocity = lookback(payments, "LOOKBACK_VELOCITY", number["lookback_ms"], number["lookback_count"])
    assert {i: found[i]["tx_count"] for i in by_rule.get("LOOKBACK_VELOCITY", ())} == velocity
    burst = lookback(payments, "LOOKBACK_BURST", number["burst_ms"], number["burst_count"])
    assert {i: found[i]["tx_count"] for i in by_rule.get("LOOKBACK_BURST", ())} == burst
    wanted = anomalies(payments, number["anomaly_times"], number["known_after"])
    assert by_rule.get("AMOUNT_ANOMALY", set()) == wanted
    assert by_rule.get("IMPOSSIBLE_TRAVEL", set()) == travels(payments, 50, 300_000)
    spent = {i: (found[i]["tx_count"], round(found[i]["amount"], 2)) for i in by_rule.get("WINDOW_AMOUNT", ())}
    assert spent == spends(payments, number["spend_amount"], 300_000)
    return {rule: len(ids) for rule, ids in by_rule.items()}


def test_a_generated_day_gives_what_the_plain_reading_gives(tmp_path: Path) -> None:
    file = tmp_path / "day.jsonl"
    command = [sys.executable, "-m", "streamguard.cli", "generate", "batch", "--count", "8000", "--seed", "5"]
    done = subprocess.run([*command, "--to-file", str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    counts = check_all(file_payments(file), LIMITS)
    assert counts.get("LOOKBACK_VELOCITY") and counts.get("IMPOSSIBLE_TRAVEL"), counts


def test_made_card_payments_give_what_the_plain_reading_gives(tmp_path: Path) -> None:
    (month,) = write_months(tmp_path, "04")
    counts = check_all(card_payments(month, 10_000), CARD_LIMITS)
    assert counts.keys() >= {"LOOKBACK_VELOCITY", "LOOKBACK_BURST", "AMOUNT_ANOMALY", "WINDOW_AMOUNT"}, counts


@pytest.mark.shared
@pytest.mark.skipif(not HANDBOOK.exists(), reason=NO_HANDBOOK)
@pytest.mark.parametrize("limit", [40_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
def test_real_card_payments_give_what_the_plain_reading_gives(limit: int) -> None:
    counts = check_all(card_payments(HANDBOOK / "transactions-2018-04.csv.gz", limit), CARD_LIMITS)
    assert counts.keys() >= {"LOOKBACK_VELOCITY", "LOOKBACK_BURST", "AMOUNT_ANOMALY", "WINDOW_AMOUNT"}, counts
