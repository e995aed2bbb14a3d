"""What an analyst does to an alert is kept, and `is_fraud` follows it."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from streamguard.alerts.actions import NoSuchAlert, list_alerts, resolve_alert, show_alert
from streamguard.cli.alerts import app
from streamguard.rules.modes import set_mode
from tests.support.desk import Desk
from tests.support.records import T0_MS, high_amount, high_velocity, transaction


def fraud(desk: Desk) -> list[object]:
    return [row[0] for row in desk.rows("SELECT transaction_id FROM transactions WHERE is_fraud ORDER BY 1")]


def test_actions_are_audited_and_fraud_follows(desk: Desk) -> None:
    burst = [transaction(n, f"t{n}", "A", 10, T0_MS + n) for n in range(4)]
    big = transaction(4, "big", "A", 4_000, T0_MS + 10)
    ids = ["t0", "t1", "t2", "t3", "big"]
    desk.feed(*burst, big, high_velocity(0, "A", T0_MS, ids, 4_040), high_amount(1, "big", "A", 4_000, T0_MS + 10))
    velocity = f"HIGH_VELOCITY:A:{T0_MS}"
    with desk.engine.begin() as connection:
        assert {line.alert_id for line in list_alerts(connection)} == {velocity, "HIGH_AMOUNT:big"}
        assert (
            resolve_alert(connection, velocity, "dismissed", who="ana", why="a family trip", topic="decisions")
            == "open"
        )
    # The large transaction still belongs to an open alert.
    assert fraud(desk) == ["big"]
    with desk.engine.begin() as connection:
        resolve_alert(connection, velocity, "confirmed", who="bia", why="the customer called", topic="decisions")
        assert list_alerts(connection, status="confirmed", account="A")[0].alert_id == velocity
        file = show_alert(connection, velocity)
    assert fraud(desk) == sorted(ids)
    assert [row.transaction_id for row in file.transactions] == ids
    actions = [(row.decided_by, row.outcome, row.reason) for row in file.decisions if row.decided_by != "rules"]
    assert actions == [
        ("analyst:ana", "dismissed", "a family trip"),
        ("analyst:bia", "confirmed", "the customer called"),
    ]
    changes = "SELECT status_before, outcome FROM decisions WHERE decided_by LIKE 'analyst:%' ORDER BY action_no"
    assert desk.rows(changes) == [("open", "dismissed"), ("dismissed", "confirmed")]


def test_an_analysts_decision_outlives_further_evidence(desk: Desk) -> None:
    desk.feed(transaction(0, "t0", "A", 10, T0_MS), high_velocity(0, "A", T0_MS, ["t0"], 10))
    with desk.engine.begin() as connection:
        resolve_alert(connection, f"HIGH_VELOCITY:A:{T0_MS}", "dismissed", who="ana", why="known", topic="decisions")
    desk.feed(transaction(1, "t1", "A", 10, T0_MS + 1), high_velocity(1, "A", T0_MS, ["t0", "t1"], 20))
    assert desk.rows("SELECT status, tx_count FROM fraud_alerts") == [("dismissed", 2)]
    assert fraud(desk) == []


def test_amounts_are_stored_exactly_and_shown_by_their_currency(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    amounts = {"jpy": 4_000, "KWD": 4_000.125, "eur": 4_000.5}
    for n, (currency, amount) in enumerate(amounts.items()):
        desk.feed(
            transaction(n, currency, "A", amount, T0_MS, currency=currency),
            high_amount(n, currency, "A", amount, T0_MS),
        )
    stored = desk.rows("SELECT currency, amount::TEXT FROM transactions ORDER BY source_offset")
    assert stored == [("JPY", "4000.0000"), ("KWD", "4000.1250"), ("EUR", "4000.5000")]
    monkeypatch.setenv("DATABASE_URL", desk.postgres.url())
    listed = CliRunner().invoke(app, ["list"]).output
    shown = {currency: CliRunner().invoke(app, ["show", f"HIGH_AMOUNT:{currency}"]).output for currency in amounts}
    for currency, text in {"jpy": " 4,000 ", "KWD": " 4,000.125 ", "eur": " 4,000.50 "}.items():
        assert text in next(line for line in listed.splitlines() if line.endswith(f":{currency}"))
        assert f"{text}{currency.upper()}  {currency}" in shown[currency]


def test_an_unknown_alert_is_an_error(desk: Desk) -> None:
    with desk.engine.begin() as connection, pytest.raises(NoSuchAlert, match="there is no alert x"):
        resolve_alert(connection, "x", "confirmed", who="a", why="b", topic="decisions")


def test_alerts_of_a_rule_in_shadow_say_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.feed(transaction(0, "big", "A", 4_000, T0_MS), high_amount(0, "big", "A", 4_000, T0_MS))
    desk.feed(transaction(1, "t1", "B", 10, T0_MS), high_velocity(1, "B", T0_MS, ["t1"], 10))
    with desk.engine.begin() as connection:
        set_mode(connection, "HIGH_AMOUNT", "shadow", who="ana", why="measured first")
    monkeypatch.setenv("DATABASE_URL", desk.postgres.url())
    listed = CliRunner().invoke(app, ["list"]).stdout.splitlines()
    assert [line.endswith("HIGH_AMOUNT:big  (rule is shadow)") for line in listed].count(True) == 1 == len(listed) - 1
    assert "HIGH_AMOUNT:big  (rule is shadow)\n" in CliRunner().invoke(app, ["show", "HIGH_AMOUNT:big"]).stdout
