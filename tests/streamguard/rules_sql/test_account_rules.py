"""ksqldb/account-rules.sql against a plain reading of each rule: by hand at the borders, then over a generated day."""

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
from tests.support.records import T0_MS

FILES = ("queries.sql", "account-rules.sql", "amount-rules.sql")
SAO_PAULO, RIO, CAMPINAS = (-23.55, -46.63), (-22.91, -43.17), (-22.91, -47.06)


def raised(payments: list[Pay], rule: str) -> set[str]:
    return {alert_id for alert_id in run_sql(FILES, payments) if alert_id.startswith(rule + ":")}


def at(*seconds: float, amount: float = 10) -> list[Pay]:
    return [Pay(f"t{n}", "A", amount, T0_MS + round(s * 1000)) for n, s in enumerate(seconds)]


def test_look_back_finds_what_lies_across_the_border_of_a_minute() -> None:
    across = at(50, 55, 62, 66)
    assert raised(across, "LOOKBACK_VELOCITY") == {"LOOKBACK_VELOCITY:t3"}
    assert raised(across, "HIGH_VELOCITY") == set()


@pytest.mark.parametrize(
    ("seconds", "hits"),
    [
        ((0, 1, 2), set()),
        ((0, 1, 2, 59.999), {"t3"}),
        ((0, 1, 2, 60), set()),
        ((0, 1, 2, 3, 4), {"t3", "t4"}),
        # Out of order: counted back from the late one's own time.
        ((100, 101, 102, 30, 31, 32, 33), {"t6"}),
        ((0, 1, 2, 120, 3), {"t4"}),
    ],
)
def test_look_back_at_its_borders(seconds: tuple[float, ...], hits: set[str]) -> None:
    assert raised(at(*seconds), "LOOKBACK_VELOCITY") == {f"LOOKBACK_VELOCITY:{hit}" for hit in hits}


def test_a_burst_is_more_than_five_in_two_minutes() -> None:
    assert raised(at(0, 20, 40, 60, 80), "LOOKBACK_BURST") == set()
    assert raised(at(0, 20, 40, 60, 80, 119.999), "LOOKBACK_BURST") == {"LOOKBACK_BURST:t5"}
    assert raised(at(0, 20, 40, 60, 80, 120), "LOOKBACK_BURST") == set()


def test_an_anomaly_is_measured_against_the_payments_before_it() -> None:
    def series(last: float, before: int = 5) -> list[Pay]:
        return [*at(*(60 * n for n in range(before))), Pay("x", "A", last, T0_MS + 600_000)]

    assert raised(series(100.01), "AMOUNT_ANOMALY") == {"AMOUNT_ANOMALY:x"}
    assert raised(series(100), "AMOUNT_ANOMALY") == set()
    assert raised(series(100.01, before=4), "AMOUNT_ANOMALY") == set()


@pytest.mark.parametrize(
    ("second", "seconds", "hit"),
    [
        (RIO, 299, True),
        (RIO, 300, False),
        (RIO, -299, True),
        (SAO_PAULO, 1, False),
        (CAMPINAS, 60, True),
        (None, 1, False),
    ],
)
def test_travel(second: tuple[float, float] | None, seconds: int, hit: bool) -> None:
    payments = [Pay("a", "A", 1, T0_MS, SAO_PAULO), Pay("b", "A", 1, T0_MS + seconds * 1000, second)]
    assert raised(payments, "IMPOSSIBLE_TRAVEL") == ({"IMPOSSIBLE_TRAVEL:b"} if hit else set())


def test_spending_counts_the_window_and_grows_one_incident() -> None:
    found = run_sql(FILES, at(0, 100, 200, 299, amount=2_500))
    assert not any(alert_id.startswith("WINDOW_AMOUNT") for alert_id in found)
    found = run_sql(FILES, [*at(0, 100, 200, 299, amount=2_500), Pay("x", "A", 0.01, T0_MS + 299_999)])
    [alert] = [alert for alert_id, alert in found.items() if alert_id.startswith("WINDOW_AMOUNT")]
    assert (alert["amount"], alert["tx_count"], alert["transaction_id"]) == (10_000.01, 5, "x")


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
