"""Alerts around the replacement of their rule: each counts by the side of the limit that its transaction is on."""

from __future__ import annotations

from typing import Any

import pytest

from streamguard.rules import replacements
from streamguard.rules.replacements import BEGINNING, NOW, Change
from tests.support.desk import Desk
from tests.support.records import T0_MS, Record, high_amount, high_velocity, transaction

CHANGE = Change("a lower limit", "ana", "before", "after")


def pay(n: int, amount: float = 4_000) -> Record:
    return transaction(n, f"t{n}", "A", amount, T0_MS + n)


def alert(offset: int, n: int) -> Record:
    return high_amount(offset, f"t{n}", "A", 4_000, T0_MS + n)


def begin(desk: Desk, end: int, *, start: str = NOW, rule: str = "HIGH_AMOUNT") -> dict[str, dict[int, int]]:
    with desk.engine.begin() as connection:
        return replacements.begin(connection, {rule: CHANGE}, start, lambda: {0: end})


def close(desk: Desk, end: int, rule: str = "HIGH_AMOUNT") -> None:
    with desk.engine.begin() as connection:
        replacements.close(connection, [rule], lambda: {0: end})
        replacements.finish(connection, [rule])


def stored(desk: Desk) -> list[Any]:
    return [row[0] for row in desk.rows("SELECT transaction_id FROM fraud_alerts ORDER BY 1")]


def counts(desk: Desk) -> tuple[int, int, int]:
    """Left out, superseded, held."""
    [(left_out, superseded, held)] = desk.rows(
        "SELECT sum(left_out)::INT, sum(superseded)::INT, (SELECT count(*)::INT FROM held_alerts) FROM rule_replacements"
    )
    return int(str(left_out)), int(str(superseded)), int(str(held))


def test_without_a_replacement_every_alert_counts(desk: Desk) -> None:
    desk.feed(pay(0), alert(0, 0), alert(1, 7))
    assert stored(desk) == ["t0", "t7"]


@pytest.mark.parametrize("transactions_first", [True, False])
def test_the_old_rule_decides_before_the_limit_and_the_new_one_behind_it(
    desk: Desk, *, transactions_first: bool
) -> None:
    """Transactions 0 to 3 are before the limit. The old rule finds 1, 3 and 5; the new one 0, 1, 3, 4 and 5."""
    payments = [pay(n) for n in range(6)]
    old = [alert(offset, n) for offset, n in enumerate((1, 3, 5))]
    new = [alert(3 + offset, n) for offset, n in enumerate((0, 1, 3, 4, 5))]
    if transactions_first:
        desk.feed(*payments)
    begin(desk, 4)
    desk.feed(*old)
    close(desk, 3)
    desk.feed(*new)
    if not transactions_first:
        assert counts(desk) == (0, 0, 8)
        for payment in payments:
            desk.feed(payment)
    desk.store.store_held()
    assert stored(desk) == ["t1", "t3", "t4", "t5"]
    assert counts(desk) == (1, 1, 0)
    assert desk.rows("SELECT count(*) FROM decisions WHERE decided_by = 'rules'") == [(4,)]
    assert desk.rows("SELECT count(*) FROM transactions WHERE is_fraud") == [(4,)]


def test_a_window_that_was_alerted_grows_with_new_transactions_only(desk: Desk) -> None:
    desk.feed(*[pay(n, 10) for n in range(6)])
    desk.feed(high_velocity(0, "A", T0_MS, ["t0", "t1", "t2", "t3"], 40))
    begin(desk, 5, rule="HIGH_VELOCITY")
    close(desk, 1, "HIGH_VELOCITY")
    ids = [f"t{n}" for n in range(6)]
    desk.feed(*[high_velocity(offset, "A", T0_MS, ids[:count], 10.0 * count) for offset, count in ((1, 3), (2, 4))])
    assert desk.rows("SELECT tx_count FROM alert_versions ORDER BY 1") == [(4,)]
    desk.feed(*[high_velocity(offset, "A", T0_MS, ids[:count], 10.0 * count) for offset, count in ((3, 5), (4, 6))])
    assert desk.rows("SELECT tx_count FROM alert_versions ORDER BY 1") == [(4,), (6,)]
    assert desk.rows("SELECT tx_count, transaction_id FROM fraud_alerts") == [(6, "t5")]
    assert counts(desk) == (2, 0, 0), "the versions of 3 and 5 transactions are left out, that of 4 is known"


def test_what_the_old_rule_writes_while_it_runs_waits_and_a_cancelled_replacement_gives_it_back(desk: Desk) -> None:
    desk.feed(*[pay(n) for n in range(3)])
    assert begin(desk, 2) == {"HIGH_AMOUNT": {0: 2}}
    desk.feed(alert(0, 1), alert(1, 2))
    assert stored(desk) == ["t1"] and counts(desk) == (0, 0, 1)
    assert begin(desk, 99) == {"HIGH_AMOUNT": {0: 2}}, "the same replacement goes on"
    assert desk.store.store_held().alerts == 0
    with desk.engine.begin() as connection:
        assert replacements.cancel(connection, ["HIGH_AMOUNT"]) == ["HIGH_AMOUNT"]
    assert desk.store.store_held().alerts == 1
    assert stored(desk) == ["t1", "t2"]
    assert desk.rows("SELECT amount FROM fraud_alerts WHERE transaction_id = 't2'") == desk.rows(
        "SELECT amount FROM fraud_alerts WHERE transaction_id = 't1'"
    )


def test_from_the_beginning_every_alert_counts_again(desk: Desk) -> None:
    desk.feed(*[pay(n) for n in range(4)], alert(0, 1))
    begin(desk, 3)
    close(desk, 1)
    desk.feed(alert(1, 0))
    assert stored(desk) == ["t1"]
    begin(desk, 4, start=BEGINNING)
    close(desk, 2)
    desk.feed(alert(2, 0), alert(3, 2))
    assert stored(desk) == ["t0", "t1", "t2"]


def test_two_replacements_each_limit_what_was_written_between_them(desk: Desk) -> None:
    desk.feed(*[pay(n) for n in range(6)])
    begin(desk, 2)
    close(desk, 0)
    begin(desk, 4)
    close(desk, 6)
    # The consumer was stopped: all alerts of the rule in the middle, then all of the newest.
    desk.feed(*[alert(n, n) for n in range(6)])
    assert stored(desk) == ["t2", "t3"]
    desk.feed(*[alert(6 + n, n) for n in (0, 3, 5)])
    assert stored(desk) == ["t2", "t3", "t5"]
    assert counts(desk) == (3, 2, 0)


def test_a_refused_transaction_is_on_a_side_too(desk: Desk) -> None:
    desk.feed(pay(0), transaction(1, "t1", "A", -1, T0_MS), transaction(2, "t2", "A", -1, T0_MS))
    begin(desk, 2)
    close(desk, 0)
    desk.feed(alert(0, 1), alert(1, 2))
    assert stored(desk) == ["t2"] and counts(desk) == (1, 0, 0)


def test_an_alert_on_a_transaction_that_never_comes_waits_as_any_other_once_the_limit_is_read(desk: Desk) -> None:
    begin(desk, 2)
    close(desk, 0)
    desk.feed(alert(0, 9))
    assert stored(desk) == [] and counts(desk) == (0, 0, 1)
    desk.feed(pay(0), pay(1))
    desk.store.store_held()
    assert stored(desk) == ["t9"]
    assert desk.rows("SELECT judged FROM alert_versions") == [(False,)]


def test_other_rules_and_topics_made_anew_know_no_limit(desk: Desk) -> None:
    desk.feed(pay(0), pay(1))
    begin(desk, 2, rule="HIGH_VELOCITY")
    close(desk, 9, "HIGH_VELOCITY")
    desk.feed(alert(0, 0))
    assert stored(desk) == ["t0"]
    begin(desk, 2)
    close(desk, 1)
    desk.feed(alert(1, 1))
    assert stored(desk) == ["t0"]
    desk.store.forget_replacements()
    desk.feed(alert(2, 1))
    assert stored(desk) == ["t0", "t1"]
