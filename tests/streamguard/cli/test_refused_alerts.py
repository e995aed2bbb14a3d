"""What the commands say of alerts whose transaction was refused."""

from __future__ import annotations

import re

from streamguard.stack.health import Context, database
from tests.streamguard.cli.test_commands import Line
from tests.support.desk import Desk
from tests.support.records import T0_MS, high_amount, high_velocity, transaction


def test_alerts_list_and_show_name_the_dead_letter(desk: Desk) -> None:
    desk.feed(transaction(0, "big", "A", -4_000, T0_MS), high_amount(0, "big", "A", 4_000, T0_MS))
    desk.feed(transaction(1, "ok", "A", 4_000, T0_MS), high_amount(1, "ok", "A", 4_000, T0_MS))
    desk.feed(high_amount(2, "later", "A", 4_000, T0_MS))
    line = Line(desk.postgres.url())
    reason = r"refused: its transaction is the dead letter transactions/0/0: amount: an amount above 0 is expected"
    listed = line("alerts", "list")
    assert re.search(rf"refused +open .* HIGH_AMOUNT:big\n    {reason}", listed)
    assert re.search(r"review \(60\) +open .* HIGH_AMOUNT:ok\n", listed)
    assert re.search(r"undecided +open .* HIGH_AMOUNT:later\n", listed)
    shown = line("alerts", "show", "HIGH_AMOUNT:big")
    assert re.search(rf"  at 1 transaction  consumer: {reason.replace(': ', '  ', 1)}", shown)
    assert "waits for its transaction" in line("alerts", "show", "HIGH_AMOUNT:later")
    status = line("status", code=1)
    assert "1 transactions, 3 alerts (1 decided, 1 refused, 1 waiting), 1 dead letters; 5 records read" in status


def test_alerts_show_names_repetitions_that_the_rule_counted(desk: Desk) -> None:
    burst = [transaction(n, f"t{n}", "A", 10, T0_MS + n) for n in range(3)]
    again = transaction(3, "t1", "A", 99, T0_MS + 3)
    desk.feed(*burst, again, high_velocity(0, "A", T0_MS, ["t0", "t1", "t2", "t1"], 129))
    line = Line(desk.postgres.url())
    shown = line("alerts", "show", f"HIGH_VELOCITY:A:{T0_MS}")
    assert shown.endswith(
        "Dead letters with the ids of its transactions:\n"
        "  transactions/0/3  t1  transaction_id t1 was stored before, from partition 0 offset 1\n"
    )
    desk.feed(transaction(4, "big", "A", 4_000, T0_MS + 90_000), high_amount(1, "big", "A", 4_000, T0_MS + 90_000))
    assert "Dead letters" not in line("alerts", "show", "HIGH_AMOUNT:big")


def test_status_notes_refused_and_waiting_alerts(desk: Desk) -> None:
    def said() -> list[str]:
        with desk.engine.connect() as connection:
            context = Context(desk.settings, database=connection)
            found = [*database.refused_alerts(context), *database.waiting_alerts(context)]
        assert not any(finding.serious for finding in found)
        return [finding.sentence for finding in found]

    desk.feed(high_amount(0, "big", "A", 4_000, T0_MS))
    assert said() == []
    desk.rows("UPDATE fraud_alerts SET updated_at = updated_at - INTERVAL '1 hour'")
    assert ["versions of alerts wait for their transaction" in sentence for sentence in said()] == [True]
    desk.feed(transaction(0, "big", "A", -4_000, T0_MS))
    [sentence] = said()
    assert sentence.startswith("1 alerts are on transactions that were refused, the newest is HIGH_AMOUNT:big")
    assert "`streamguard dead-letters show transactions/0/0`" in sentence
    desk.feed(transaction(1, "big", "A", 4_000, T0_MS))
    assert said() == []
