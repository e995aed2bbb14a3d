"""A change of mode: `is_fraud` follows with it, the consumer with its next batch, and all of it is kept, or none."""

from __future__ import annotations

from typing import Any

import pytest

from streamguard.alerts.actions import list_alerts, resolve_alert
from streamguard.rules import catalogue, modes
from streamguard.rules.figures import Figures, figures_of
from tests.support.desk import Desk
from tests.support.records import T0_MS, Record, high_amount, high_velocity, transaction


def big(n: int) -> tuple[Record, Record]:
    return transaction(n, f"t{n}", "A", 4_000, T0_MS + n), high_amount(n, f"t{n}", "A", 4_000, T0_MS + n)


def fraud(desk: Desk) -> list[object]:
    return [row[0] for row in desk.rows("SELECT transaction_id FROM transactions WHERE is_fraud ORDER BY 1")]


def switch(desk: Desk, rule: str, mode: str, why: str = "a trial") -> str:
    with desk.engine.begin() as connection:
        return modes.set_mode(connection, rule, mode, who="ana", why=why)


def kept(desk: Desk) -> list[tuple[Any, ...]]:
    with desk.engine.begin() as connection:
        return [(c.rule, c.mode_before, c.mode_after, c.changed_by, c.reason) for c in modes.changes_of(connection)]


def test_no_rule_has_the_name_of_one_of_the_other_kind() -> None:
    names = {kind: {rule.name for rule in catalogue() if rule.kind == kind} for kind in ("sql", "python")}
    assert not names["sql"] & names["python"]


@pytest.mark.parametrize("mode", ["shadow", "off"])
def test_alerts_of_a_rule_that_is_not_active_are_kept_without_effect(desk: Desk, mode: str) -> None:
    desk.feed(*big(0), *big(1))
    assert fraud(desk) == ["t0", "t1"]
    assert switch(desk, "HIGH_AMOUNT", mode) == "active"
    assert fraud(desk) == []
    desk.feed(*big(2))
    assert fraud(desk) == []
    judged = "SELECT count(*) FROM fraud_alerts a JOIN decisions d USING (alert_id) WHERE a.outcome = 'review'"
    assert desk.rows(judged) == [(3,)]
    assert desk.rows("SELECT count(*) FROM outbox WHERE topic = 'decisions'") == [(3,)]
    with desk.engine.begin() as connection:
        assert {line.mode for line in list_alerts(connection)} == {mode}
    assert switch(desk, "HIGH_AMOUNT", "active") == mode
    assert fraud(desk) == ["t0", "t1", "t2"]


def test_another_rule_and_an_analyst_still_count(desk: Desk) -> None:
    desk.feed(*big(0), *big(1), high_velocity(9, "A", T0_MS, ["t0", "t1"], 8_000))
    switch(desk, "HIGH_AMOUNT", "shadow")
    assert fraud(desk) == ["t0", "t1"], "both are in an alert of HIGH_VELOCITY"
    switch(desk, "HIGH_VELOCITY", "shadow")
    assert fraud(desk) == []
    with desk.engine.begin() as connection:
        resolve_alert(connection, "HIGH_AMOUNT:t0", "confirmed", who="ana", why="called", topic="decisions")
    assert fraud(desk) == ["t0"], "an analyst says so, whatever the mode"
    switch(desk, "HIGH_AMOUNT", "off")
    assert fraud(desk) == ["t0"]


def test_a_transaction_that_comes_after_its_shadow_alert_has_no_effect_either(desk: Desk) -> None:
    switch(desk, "HIGH_AMOUNT", "shadow")
    payment, alert = big(0)
    desk.feed(alert)
    desk.feed(payment)
    assert desk.rows("SELECT outcome FROM fraud_alerts") == [("review",)]
    assert fraud(desk) == []


def test_every_change_is_kept_and_the_same_mode_is_none(desk: Desk) -> None:
    assert switch(desk, "HIGH_AMOUNT", "shadow", "new limit") == "active"
    assert switch(desk, "HIGH_AMOUNT", "shadow", "again") == "shadow"
    assert switch(desk, "night", "off", "noisy") == "active"
    assert switch(desk, "HIGH_AMOUNT", "active", "good") == "shadow"
    assert kept(desk) == [
        ("HIGH_AMOUNT", "active", "shadow", "ana", "new limit"),
        ("night", "active", "off", "ana", "noisy"),
        ("HIGH_AMOUNT", "shadow", "active", "ana", "good"),
    ]


def test_a_change_that_is_cut_off_changed_nothing(desk: Desk) -> None:
    """The connection ends before the commit, as it does where the process is killed."""
    desk.feed(*big(0))
    connection = desk.engine.connect()
    modes.set_mode(connection, "HIGH_AMOUNT", "off", who="ana", why="x")
    connection.invalidate()
    connection.close()
    assert fraud(desk) == ["t0"] and kept(desk) == []
    with desk.engine.begin() as other:
        assert modes.modes_of(other) == {}


def test_a_rule_that_is_not_there_is_one_sentence(desk: Desk) -> None:
    with pytest.raises(modes.NoSuchRule, match="there is no rule high_amont; HIGH_AMOUNT is the nearest name"):
        switch(desk, "high_amont", "off")
    desk.feed(transaction(0, "t", "A", 4_000, T0_MS), high_amount(0, "t", "A", 4_000, T0_MS))
    desk.rows("UPDATE fraud_alerts SET rule = 'GAMBLING'")
    with pytest.raises(modes.NoSuchRule, match=r"GAMBLING has alerts and no line in the catalogue: .*rules.yaml"):
        switch(desk, "GAMBLING", "off")
    assert kept(desk) == []


def test_figures_count_alerts_and_decisions_and_what_analysts_say(desk: Desk) -> None:
    for n in range(4):
        desk.feed(*big(n))
    for n, status in enumerate(("confirmed", "dismissed", "confirmed")):
        with desk.engine.begin() as connection:
            resolve_alert(connection, f"HIGH_AMOUNT:t{n}", status, who="ana", why="x", topic="decisions")
    desk.rows("UPDATE fraud_alerts SET created_at = now() - INTERVAL '2 days' WHERE alert_id <> 'HIGH_AMOUNT:t3'")
    desk.rows("UPDATE fraud_alerts SET created_at = now() - INTERVAL '8 days' WHERE alert_id = 'HIGH_AMOUNT:t0'")
    # What the Python rule said, by hand: points in three decisions, none in the fourth.
    verdict = """UPDATE decisions SET verdicts = jsonb_build_array(jsonb_build_object('rule', 'night', 'points', %s))
        WHERE decided_by = 'rules' AND alert_id = %s RETURNING 1"""
    for n, points in enumerate((20, 0, -5, 20)):
        assert desk.rows(verdict, points, f"HIGH_AMOUNT:t{n}") == [(1,)]
    desk.rows("UPDATE decisions SET decided_at = now() - INTERVAL '2 days' WHERE alert_id = 'HIGH_AMOUNT:t2'")
    desk.rows("UPDATE decisions SET decided_at = now() - INTERVAL '9 days' WHERE alert_id = 'HIGH_AMOUNT:t0'")
    with desk.engine.begin() as connection:
        found = figures_of(connection)
    assert found["HIGH_AMOUNT"] == Figures(
        "HIGH_AMOUNT", day=1, week=3, confirmed=2, dismissed=1, accounts=1, found_share=1.0
    )
    assert found["night"] == Figures("night", day=1, week=2, confirmed=2, dismissed=0)
    assert found["HIGH_AMOUNT"].confirmed_share == pytest.approx(2 / 3)
    assert Figures("x").confirmed_share is None
