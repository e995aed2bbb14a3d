"""A decision is computed once more from what is stored, whatever has changed since: limits, modes, lists, analysts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import orjson
import pytest

from streamguard.alerts.actions import resolve_alert
from streamguard.alerts.lists import Entry, add_entry, remove_entry
from streamguard.consumer.store import Store
from streamguard.evaluation.recompute import Recomputed, recompute
from streamguard.rules import REGISTRY, RuleLimits
from streamguard.rules.modes import set_mode
from tests.support.desk import Desk
from tests.support.records import T0_MS, Record, high_amount, transaction

DAY_MS = 86_400_000


def recomputed(desk: Desk, alert_id: str) -> Recomputed:
    with desk.engine.connect() as connection:
        [found] = recompute(connection, alert_id)
    return found


def pairs(first: int, count: int, accounts: int, seed: int) -> Iterator[Record]:
    """Transactions of several accounts with an alert on each."""
    rng = random.Random(seed)
    for number in range(first, first + count):
        account, amount = f"A{rng.randrange(accounts)}", rng.randrange(1, 20_000)
        more = {
            "merchant_id": f"m{rng.randrange(5)}",
            "device_id": f"d{rng.randrange(3)}",
            "country": rng.choice(["BR", "DE"]),
        }
        yield transaction(number, f"t{number}", account, amount, T0_MS + number * DAY_MS // 7, **more)
        yield high_amount(number, f"t{number}", account, amount, T0_MS + number * DAY_MS // 7)


def fill(desk: Desk, count: int, batches: int, seed: int = 1, accounts: int = 4) -> list[str]:
    """Decisions while limits, modes, lists and what analysts say change; the ids of their alerts."""
    rng, size = random.Random(seed), count // batches
    for batch in range(batches):
        desk.feed(*pairs(batch * size, size, accounts, seed + batch))
        with desk.engine.begin() as connection:
            set_mode(connection, rng.choice(list(REGISTRY)), rng.choice(["active", "shadow", "off"]), who="x", why="y")
            entry = Entry("account", f"A{rng.randrange(accounts)}", f"because {batch}", None)
            add_entry(connection, rng.choice(["blacklist", "allowlist"]), entry, who="x")
            remove_entry(connection, "blacklist", "account", f"A{rng.randrange(accounts)}", who="x", reason=None)
            alert_id = f"HIGH_AMOUNT:t{rng.randrange((batch + 1) * size)}"
            status = rng.choice(["confirmed", "dismissed", "open"])
            resolve_alert(connection, alert_id, status, who="ana", why="z", topic="decisions")
        limits = RuleLimits(base_score=rng.randrange(30, 70), enough_history=rng.randrange(2, 8))
        desk.store = Store(desk.engine, desk.settings, limits)
    return [f"HIGH_AMOUNT:t{number}" for number in range(size * batches)]


def check(desk: Desk, alerts: list[str]) -> None:
    for alert_id in alerts:
        found = recomputed(desk, alert_id)
        assert (found.differences, found.notes) == ([], []), alert_id


def test_every_decision_is_the_same_once_more(desk: Desk) -> None:
    alerts = fill(desk, 60, 10)
    check(desk, alerts)
    [(sets, named)] = desk.rows("SELECT (SELECT count(*) FROM rule_sets), count(DISTINCT rule_set_no) FROM decisions")
    assert sets == named == 10, "one for each state of limits and modes"


@pytest.mark.soak
def test_a_hundred_of_ten_thousand_decisions_are_the_same_once_more(desk: Desk) -> None:
    alerts = fill(desk, 10_000, 100, accounts=40)
    assert desk.rows("SELECT count(*) FROM decisions WHERE decided_by = 'rules'") == [(10_000,)]
    check(desk, random.Random(7).sample(alerts, 100))


def test_what_does_not_fit_is_named(desk: Desk) -> None:
    [alert_id, *_] = fill(desk, 4, 1)
    change = "UPDATE decisions SET {} WHERE decided_by = 'rules' AND alert_id = %s"
    desk.rows(change.format("outcome = 'dismiss', score = 3"), alert_id)
    outcome, score = recomputed(desk, alert_id).differences
    assert "outcome is stored as dismiss" in outcome and "score is stored as 3" in score
    verdicts = "verdicts = jsonb_set(verdicts, '{0,points}', '77')"
    desk.rows(change.format(verdicts), alert_id)
    assert any("the verdict of" in said and '"points":77' in said for said in recomputed(desk, alert_id).differences)


def test_what_was_not_kept_is_said(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    [alert_id, *_] = fill(desk, 4, 1)
    name = next(iter(REGISTRY))
    monkeypatch.setitem(REGISTRY, name, replace(REGISTRY[name], version=99))
    found = recomputed(desk, alert_id)
    assert not found.differences and [name in note and "as it was stored" in note for note in found.notes] == [True]
    monkeypatch.undo()
    desk.rows("UPDATE decisions SET rule_set_no = NULL")
    assert "limits of then were not kept" in recomputed(desk, alert_id).notes[0]
    desk.rows("DELETE FROM transactions WHERE transaction_id = 't0'")
    assert any("not stored any more" in note for note in recomputed(desk, alert_id).notes)


def test_a_rule_set_is_stored_once_and_says_what_decided(desk: Desk) -> None:
    desk.rows(
        "INSERT INTO deployed_rules (rule, version, sql_hash, sql_text, deployed_by) VALUES ('HIGH_AMOUNT', 2, 'ab', 'SQL', 'x')"
    )
    for batch in range(3):
        desk.feed(*pairs(batch * 2, 2, 1, batch))
    [(number, content)] = desk.rows("SELECT rule_set_no, content::TEXT FROM rule_sets")
    assert desk.rows("SELECT DISTINCT rule_set_no FROM decisions") == [(number,)]
    found = orjson.loads(str(content))
    assert found["limits"]["base_score"] == 50 and found["program"]
    assert {rule["name"]: rule["version"] for rule in found["python_rules"]} == {
        r.name: r.version for r in REGISTRY.values()
    }
    assert found["sql_rules"] == [{"name": "HIGH_AMOUNT", "version": 2, "mode": "active", "sql": "ab"}]
    desk.rows(
        "INSERT INTO deployed_rules (rule, version, sql_hash, sql_text, deployed_by) VALUES ('HIGH_AMOUNT', 3, 'cd', 'SQL', 'x')"
    )
    desk.feed(*pairs(6, 1, 1, 6))
    assert desk.rows("SELECT count(*) FROM rule_sets") == [(2,)]
