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
from tests.integration.stackrun import PASSWORD, StackRun, secured_broker

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
def stack(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StackRun]:
    """Open, or with logins and TLS for all that goes through Kafka: it is the same stack."""
    secured = request.param == "secured"
    run = StackRun(tmp_path / "state", secured_broker(tmp_path) if secured else {})
    run.start("--no-generator", "--no-desk")
    yield run
    run.run("./stop.sh", "--wipe", check=False)


@pytest.mark.parametrize(
    ("stack", "count"),
    [
        ("secured", 5_000),
        pytest.param("open", 5_000, marks=pytest.mark.soak),
        pytest.param("open", 50_000, marks=pytest.mark.soak),
    ],
    indirect=["stack"],
)
def test_the_stack_and_the_replay_decide_alike(stack: StackRun, count: int) -> None:
    stack.generate("batch", "--count", str(count), "--seed", "7", "--fraud-share", "0.1")
    stack.wait_count("transactions", count, timeout_s=count / 100)
    stack.wait_settled(quiet_s=4, timeout_s=120)
    stored = {tuple(row[:2]): normal(row) for row in stack.query(DECISIONS)}
    replayed = {(j.alert.alert_id, j.alert.tx_count or 0): row_of(j) for j in replay(stack)}
    assert len({row[0] for row in stored.values()}) > 6, "most rules have raised alerts"
    assert replayed == stored
    if "STREAMGUARD_KAFKA_SASL_USERNAME" in stack.environment:
        check_secured(stack)


def check_secured(stack: StackRun) -> None:
    """Commands log in, the password is in no log, and a wrong one is one sentence."""
    status = stack.streamguard("status", check=False).stdout
    assert "PROBLEM" not in status, status
    assert "fraud_alerts" in stack.streamguard("topics", "list").stdout
    assert (stack.state / "ksql-server.properties").stat().st_mode & 0o777 == 0o600
    for log in (stack.state / "logs").glob("*.log"):
        assert PASSWORD[-6:] not in log.read_text(errors="replace"), f"the password is in {log}"
    Path(stack.environment["STREAMGUARD_KAFKA_SASL_PASSWORD_FILE"]).write_text("wrong")
    refused = stack.streamguard("deploy", check=False)
    assert refused.returncode == 1
    assert "refuses the login of streamguard" in refused.stderr.splitlines()[-1]


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
