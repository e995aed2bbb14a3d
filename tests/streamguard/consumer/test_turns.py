"""Transactions first, alerts in their share of the time, and neither waits for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamguard.consumer.turns import ALERTS_SHARE, Turns

COST_S = st.floats(0.01, 2.0)


@given(costs=st.lists(st.tuples(COST_S, COST_S), min_size=20, max_size=200))
def test_while_transactions_wait_alerts_get_their_share(costs: list[tuple[float, float]]) -> None:
    turns = Turns()
    waits, alerts_s, all_s, dearest = False, 0.0, 0.0, 0.0
    for transactions, alerts in costs:
        cost = transactions if waits else alerts
        alerts_s += 0 if waits else cost
        all_s += cost
        dearest = max(dearest, cost)
        waits = turns.alerts_wait(cost, had_alerts=not waits, transactions_wait=True)
    # Never more than the share and the batch that passed it, never less but for the transactions' batch that did.
    assert alerts_s <= ALERTS_SHARE * all_s + dearest
    assert alerts_s >= ALERTS_SHARE * (all_s - dearest)


def test_without_a_backlog_nobody_waits() -> None:
    turns = Turns()
    assert turns.alerts_wait(5.0, had_alerts=True, transactions_wait=True)
    assert not turns.alerts_wait(5.0, had_alerts=True, transactions_wait=False)
    assert not turns.alerts_wait(0.1, had_alerts=False, transactions_wait=True), "what was before is forgotten"
