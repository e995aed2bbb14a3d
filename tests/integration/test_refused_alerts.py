"""What the rules of a running stack see and its consumer refuses: docs/sql-rules.md, "What SQL cannot tell"."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaProducer

from tests.integration.stackrun import StackRun
from tests.support.processes import eventually

pytestmark = pytest.mark.integration

STATES = "SELECT alert_id, outcome FROM fraud_alerts ORDER BY 1"
BOOKS = (
    "SELECT (SELECT sum(records_read) FROM consumer_offsets WHERE topic = 'transactions')"
    " = (SELECT count(*) FROM transactions) + (SELECT count(*) FROM dead_letters WHERE source_topic = 'transactions')"
)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[StackRun]:
    stack = StackRun(tmp_path / "state")
    stack.start_core()
    yield stack
    stack.run("./stop.sh", "--wipe", check=False)


def payment(name: str, at_ms: int, amount: float = 5_000, **more: object) -> bytes:
    fields = {"transaction_id": name, "amount": amount, "currency": "BRL", "event_time": at_ms, **more}
    return json.dumps(fields).encode()


def test_each_kind_says_why_it_cannot_be_judged(stack: StackRun) -> None:
    now_ms = time.time_ns() // 1_000_000
    kinds = {
        "account": (b"A-1", payment("account", now_ms, account_id="B")),
        "key": (b"A-2\xff", payment("key", now_ms)),
        "names": (b"A-3", payment("names", now_ms, Currency="USD")),
        "time": (b"A-4", payment("time", 2**64 + now_ms)),
        "large": (b"A-5", payment("large", now_ms, note="x" * 1_100_000)),
        "repeated": (b"A-6", payment("repeated", now_ms)),
    }
    producer = KafkaProducer(bootstrap_servers=stack.settings.kafka_bootstrap_servers, max_request_size=4_000_000)
    producer.send("transactions", payment("repeated", now_ms, 10), b"A-6")
    for key, value in kinds.values():
        producer.send("transactions", value, key)
    producer.flush()
    wanted = [(f"HIGH_AMOUNT:{name}", "refused") for name in sorted(kinds)]

    eventually(lambda: stack.query(STATES), lambda found: found == wanted, 40, "refused alerts")
    stack.wait_settled()
    assert stack.query(BOOKS) == [(True,)]
    assert stack.query("SELECT transaction_id, is_fraud FROM transactions") == [("repeated", False)]
    listed = stack.streamguard("alerts", "list", "--limit", "50").stdout
    assert listed.count("    refused: its transaction is the dead letter transactions/") == len(kinds)
    assert "6 dead letters:" in stack.streamguard("dead-letters", "list").stdout
    # The mended record of one is stored, and its alert judged.
    producer.send("transactions", payment("account", now_ms, account_id="A-1"), b"A-1").get(timeout=30)
    producer.close(timeout=20)
    eventually(lambda: dict(stack.query(STATES)).get("HIGH_AMOUNT:account"), lambda outcome: outcome == "review", 40)
