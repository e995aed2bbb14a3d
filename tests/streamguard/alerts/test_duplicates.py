"""An alert that repeats another one: decided by naming that one, and counted neither as fraud found nor as a false alarm."""

from __future__ import annotations

from datetime import datetime

import pytest
from typer.testing import CliRunner

from streamguard.alerts.actions import AlertChanged, NoDuplicate, resolve_alert, show_alert
from streamguard.alerts.context import originals_for, other_alerts
from streamguard.cli.alerts import app
from streamguard.rules.figures import days_of, figures_of
from tests.support.desk import Desk
from tests.support.records import T0_MS, high_amount, high_velocity, transaction

VELOCITY = f"HIGH_VELOCITY:A:{T0_MS}"
BIG, BIGGER, OTHER = "HIGH_AMOUNT:big", "HIGH_AMOUNT:bigger", "HIGH_AMOUNT:other"


@pytest.fixture
def alerts(desk: Desk) -> Desk:
    """Three alerts of the account A and one of B."""
    ids = ["big", "bigger", "small"]
    desk.feed(
        transaction(0, "big", "A", 4_000, T0_MS),
        transaction(1, "bigger", "A", 5_000, T0_MS + 1),
        transaction(2, "small", "A", 5, T0_MS + 2),
        transaction(3, "other", "B", 6_000, T0_MS + 3),
        high_velocity(0, "A", T0_MS, ids, 9_005),
        high_amount(1, "big", "A", 4_000, T0_MS),
        high_amount(2, "bigger", "A", 5_000, T0_MS + 1),
        high_amount(3, "other", "B", 6_000, T0_MS + 3),
    )
    return desk


def resolve(desk: Desk, alert_id: str, status: str, of: str | None = None) -> str:
    with desk.engine.begin() as connection:
        return resolve_alert(
            connection, alert_id, status, who="ana", why="same payments", topic="decisions", duplicate_of=of
        )


def test_it_is_decided_and_can_be_taken_back(alerts: Desk) -> None:
    resolve(alerts, VELOCITY, "dismissed")
    assert resolve(alerts, BIG, "duplicate", BIGGER) == "open"
    assert alerts.rows("SELECT transaction_id FROM transactions WHERE is_fraud ORDER BY 1") == [("bigger",), ("other",)]
    with alerts.engine.begin() as connection:
        file = show_alert(connection, BIG)
        assert other_alerts(connection, BIGGER, "A")[0].duplicate_of == BIGGER
    assert (file.line.status, file.line.duplicate_of) == ("duplicate", BIGGER)
    assert (file.decisions[-1].outcome, file.decisions[-1].reason) == ("duplicate", f"of {BIGGER}: same payments")
    assert alerts.rows("SELECT alerts FROM account_risk_profile WHERE account_id = 'A'") == [(1,)]
    assert resolve(alerts, BIG, "open") == "duplicate"
    assert alerts.rows("SELECT duplicate_of FROM fraud_alerts WHERE alert_id = %s", BIG) == [(None,)]
    assert ("big",) in alerts.rows("SELECT transaction_id FROM transactions WHERE is_fraud")


def test_it_counts_in_no_figure_of_what_analysts_made_of_alerts(alerts: Desk) -> None:
    resolve(alerts, BIGGER, "confirmed")
    with alerts.engine.begin() as connection:
        before = figures_of(connection)
    resolve(alerts, BIG, "duplicate", BIGGER)
    resolve(alerts, VELOCITY, "duplicate", BIGGER)
    with alerts.engine.begin() as connection:
        after = figures_of(connection)
        [day] = days_of(connection, "HIGH_AMOUNT", days=100_000)
    assert after == before and after["HIGH_AMOUNT"].confirmed_share == 1
    assert (day.alerts, day.confirmed, day.dismissed, day.duplicates) == (3, 1, 0, 1)


REFUSED = [
    (BIG, BIG, "a duplicate of itself"),
    (BIG, "HIGH_AMOUNT:none", "there is no alert HIGH_AMOUNT:none"),
    (BIG, OTHER, "is of another account"),
    (BIG, VELOCITY, f"is itself a duplicate: name {BIGGER}"),
    (BIGGER, BIG, f"{BIGGER} has a duplicate, {VELOCITY}"),
    (BIG, None, "names the alert that it repeats"),
]


@pytest.mark.parametrize(("alert_id", "of", "said"), REFUSED)
def test_what_it_cannot_repeat(alerts: Desk, alert_id: str, of: str | None, said: str) -> None:
    resolve(alerts, VELOCITY, "duplicate", BIGGER)
    before = alerts.rows("SELECT alert_id, status, duplicate_of FROM fraud_alerts ORDER BY 1")
    with pytest.raises(NoDuplicate, match=said):
        resolve(alerts, alert_id, "duplicate", of)
    assert alerts.rows("SELECT alert_id, status, duplicate_of FROM fraud_alerts ORDER BY 1") == before


def test_no_other_verdict_names_one(alerts: Desk) -> None:
    with pytest.raises(NoDuplicate, match="only a duplicate"):
        resolve(alerts, BIG, "confirmed", BIGGER)


def test_whoever_looked_before_is_told(alerts: Desk) -> None:
    [(seen,)] = alerts.rows("SELECT updated_at FROM fraud_alerts WHERE alert_id = %s", BIG)
    assert isinstance(seen, datetime)
    resolve(alerts, BIG, "duplicate", BIGGER)
    with alerts.engine.begin() as connection, pytest.raises(AlertChanged, match="ana marked it as a duplicate at"):
        resolve_alert(connection, BIG, "confirmed", who="bia", why="x", topic="decisions", seen=seen)


@pytest.mark.parametrize(
    ("ids", "part", "wanted"),
    [
        ([BIG], "", [VELOCITY, BIGGER]),
        ([BIG], "igger", [BIGGER]),
        ([BIG], "High vel", [VELOCITY]),
        ([BIG], "100%", []),
        ([BIG, BIGGER], "", [VELOCITY]),
        ([OTHER], "", []),
        (["none"], "", []),
        ([], "", []),
    ],
)
def test_which_alerts_may_be_repeated(alerts: Desk, ids: list[str], part: str, wanted: list[str]) -> None:
    with alerts.engine.begin() as connection:
        assert {found.alert_id for found in originals_for(connection, ids, part)} == set(wanted)


def test_on_the_command_line(alerts: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", alerts.postgres.url())

    def run(*arguments: str) -> str:
        return CliRunner().invoke(app, list(arguments)).output

    said = run("duplicate", BIG, "--of", BIGGER, "--reason", "same payments", "--by", "ana")
    assert said == f"{BIG}: open -> duplicate of {BIGGER}\n"
    assert f"duplicate of {BIGGER}" in run("list", "--status", "duplicate")
    assert f"analyst:ana: duplicate  of {BIGGER}: same payments" in run("show", BIG)
    assert f"{BIG}: duplicate -> open" in run("reopen", BIG, "--reason", "a slip")
