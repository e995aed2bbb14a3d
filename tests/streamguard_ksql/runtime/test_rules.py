"""The two core rules over seeded transactions in three partitions, against plain Python."""

from __future__ import annotations

import random
import re
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamguard_ksql.variables import substitute
from tests.support.engine import RunningEngine, consume, produce, table_of, windowed

pytestmark = pytest.mark.integration

RULES = Path(__file__).parents[3] / "ksqldb" / "queries.sql"
T0_MS = int(time.time()) // 60 * 60_000 - 3_600_000
"""A full minute an hour ago: older records would fall to the topics' retention while the test runs."""
LIMIT, COUNT, WINDOW_MS = 3000, 3, 60_000


def transactions(count: int, accounts: int = 40) -> list[tuple[str, dict[str, Any]]]:
    """Payments 50 ms apart, keyed by account."""
    draw = random.Random(7)
    made = []
    for n in range(count):
        amount = round(draw.lognormvariate(6.5, 1.2), 2)
        value = {"transaction_id": f"tx{n}", "amount": amount, "currency": "BRL", "event_time": T0_MS + 50 * n}
        made.append((f"ACC{draw.randrange(accounts):03d}", value))
    return made


def velocities(given: list[tuple[str, dict[str, Any]]]) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """The transactions of each account and minute."""
    windows: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for account, tx in given:
        windows[(account, tx["event_time"] - tx["event_time"] % WINDOW_MS)].append(tx)
    return windows


def deploy(engine: RunningEngine) -> None:
    text = RULES.read_text()
    defined = dict(re.findall(r"^DEFINE (\w+) = '(.*)';$", text, re.MULTILINE))
    text = substitute(text, {**defined, "high_amount": str(LIMIT), "velocity_count": str(COUNT)})
    engine.sql("\n".join(line for line in text.splitlines() if not line.startswith("DEFINE")))


def test_rules_find_what_plain_python_finds(engine: RunningEngine, servers: str) -> None:
    deploy(engine)
    given = transactions(6_000)
    produce(servers, "transactions", given)
    engine.settle()
    check(servers, given)
    engine.restart()
    more = transactions(7_000)[6_000:]
    produce(servers, "transactions", more)
    engine.settle()
    check(servers, given + more)


def check(servers: str, given: list[tuple[str, dict[str, Any]]]) -> None:
    alerts = [(k, orjson.loads(v or b"")) for k, v in consume(servers, "fraud_alerts")]
    high = sorted((a["TRANSACTION_ID"], k) for k, a in alerts if a["RULE"] == "HIGH_AMOUNT")
    assert high == sorted((tx["transaction_id"], a.encode()) for a, tx in given if tx["amount"] > LIMIT)
    hits = {name: txs for name, txs in velocities(given).items() if len(txs) > COUNT}
    last = {a["ALERT_ID"]: a for _, a in alerts if a["RULE"] == "HIGH_VELOCITY"}
    assert set(last) == {f"HIGH_VELOCITY:{account}:{start}" for account, start in hits}
    for (account, start), txs in hits.items():
        alert = last[f"HIGH_VELOCITY:{account}:{start}"]
        assert alert["TX_COUNT"] == len(txs)
        assert alert["AMOUNT"] == pytest.approx(sum(tx["amount"] for tx in txs))
        assert alert["TRANSACTION_ID"] == txs[-1]["transaction_id"]
        assert alert["DETECTED_AT"] == txs[-1]["event_time"]
    table = {windowed(k): v for k, v in table_of(servers, "account_velocity").items()}
    assert {n: v["TRANSACTION_IDS"] for n, v in table.items()} == {
        n: [tx["transaction_id"] for tx in txs] for n, txs in hits.items()
    }


def test_state_is_pulled_by_key_and_window(engine: RunningEngine, servers: str) -> None:
    deploy(engine)
    given = transactions(1_300)  # 65 seconds: both windows are still within the retention of size and grace
    produce(servers, "transactions", given)
    engine.settle()
    hits = {name: len(txs) for name, txs in velocities(given).items() if len(txs) > COUNT}
    account, start = max(hits)
    rows = engine.pull(f"SELECT * FROM account_velocity WHERE account_id = '{account}';")
    assert sorted(r[1] for r in rows) == sorted(s for a, s in hits if a == account)
    one = f"SELECT tx_count FROM account_velocity WHERE account_id = '{account}' AND WINDOWSTART = {start};"
    assert engine.pull(one) == [[hits[(account, start)]]]
    assert len(engine.pull("SELECT * FROM account_velocity;")) == len(hits)
