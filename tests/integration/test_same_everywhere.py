"""The same transactions through the running stack and through `evaluate`'s replay: the same alerts, scores and decisions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamguard.evaluation.replay import Judged, Replay, RuleSet
from streamguard.evaluation.topic import read_records
from streamguard.rules.catalogue import sql_files
from tests.integration.stackrun import StackRun

pytestmark = pytest.mark.integration

TABLES = ("blacklist", "currency_limits")
"""What the stack had read before the first transaction came."""
DECISIONS = """
SELECT d.alert_id, d.tx_count, a.rule, a.account_id, d.transaction_id, d.outcome, d.score, d.reason, d.verdicts::TEXT,
    v.evidence ->> 'amount', (v.evidence ->> 'window_start')::BIGINT, (v.evidence ->> 'detected_at')::BIGINT
FROM decisions d JOIN fraud_alerts a USING (alert_id) JOIN alert_versions v ON v.alert_id = d.alert_id AND v.tx_count = d.tx_count
WHERE decided_by = 'rules' ORDER BY 1, 2
"""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[StackRun]:
    run = StackRun(tmp_path / "state")
    run.start("--no-generator", "--no-desk")
    yield run
    run.run("./stop.sh", "--wipe", check=False)


@pytest.mark.parametrize("count", [5_000, pytest.param(50_000, marks=pytest.mark.soak)])
def test_the_stack_and_the_replay_decide_alike(stack: StackRun, count: int) -> None:
    stack.generate("batch", "--count", str(count), "--seed", "7", "--fraud-share", "0.1")
    stack.wait_count("transactions", count, timeout_s=count / 100)
    stack.wait_settled(quiet_s=4, timeout_s=120)
    stored = {tuple(row[:2]): normal(row) for row in stack.query(DECISIONS)}
    replayed = {(j.alert.alert_id, j.alert.tx_count or 0): row_of(j) for j in replay(stack)}
    assert len({row[0] for row in stored.values()}) > 6, "most rules have raised alerts"
    assert replayed == stored


def replay(stack: StackRun) -> list[Judged]:
    rules = Replay(RuleSet(sql_files(), first_values=False))
    found = rules.feed(list(read_records(stack.settings, TABLES)))
    records = iter(read_records(stack.settings, ["transactions"]))
    while batch := list(islice(records, 700)):
        found += rules.feed(batch)
    assert not rules.unknown and not rules.engine.unread
    return found


def row_of(judged: Judged) -> tuple[Any, ...]:
    alert, decision = judged.alert, judged.decision
    amount = None if alert.amount is None else str(alert.amount)
    of_alert = (alert.rule, alert.account_id, alert.transaction_id)
    said = (decision.outcome, decision.score, decision.reason, orjson.loads(orjson.dumps(decision.verdicts)))
    return (*of_alert, *said, amount, alert.window_start, alert.detected_at)


def normal(row: tuple[Any, ...]) -> tuple[Any, ...]:
    fields = list(row[2:])
    fields[6] = orjson.loads(fields[6])
    return tuple(fields)
