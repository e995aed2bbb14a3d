"""The page of a back-test: what A and B find, in money, and how much work it is for the people who are there."""

from __future__ import annotations

import re
from pathlib import Path

from tests.streamguard.desk.conftest import Client
from tests.streamguard.desk.seed import keep_backtest
from tests.support.desk import Desk


def rows(page: str) -> dict[str, list[str]]:
    """The lines of "What changes", by their names."""
    found = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', page)
    return {name: re.sub(r"<[^>]+>", " ", cells).split() for name, cells in found}


def test_money_and_work_of_both_sides(client: Client, desk: Desk, tmp_path: Path) -> None:
    number = keep_backtest(desk, tmp_path, {"a": {"EUR": "3500"}, "b": {"EUR": "6000.5"}})
    lead = client("lead")
    found = rows(lead.get(f"/backtests/{number}").text)
    assert found["fraud amount found"] == ["3,500.00", "EUR", "6,000.50", "EUR", "+2,500.50", "EUR"]
    # Flagged alerts of four days, for an analyst and a lead; none with the higher limit.
    assert found["flagged alerts, all rules"][:2] == ["3", "0"]
    assert found["alerts per analyst and day"] == ["0.4", "0.0", "−0.4"]
    assert rows(lead.get(f"/backtests/{number}?analysts=1").text)["alerts per analyst and day"][0] == "0.7"
    for odd in ("0", "-1", "x", ""):
        assert 'name="analysts"' in (page := lead.get(f"/backtests/{number}?analysts={odd}").text)
        assert re.search(r'name="analysts"[^>]* value="2"', page), odd
    desk.postgres.query("UPDATE users SET disabled_at = now() WHERE role = 'analyst' RETURNING 1")
    assert re.search(r'name="analysts"[^>]* value="1"', lead.get(f"/backtests/{number}").text)
