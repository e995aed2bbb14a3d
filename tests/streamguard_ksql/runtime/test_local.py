"""A local engine and a server with a broker make the same alerts of the same records, with all the rules of ksqldb/."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamguard_ksql import ast
from streamguard_ksql.hashing import partition_for
from streamguard_ksql.local import LocalEngine
from streamguard_ksql.operators.record import InputRecord
from streamguard_ksql.parser import parse_statement, split_statements
from streamguard_ksql.variables import substitute
from tests.support.engine import EARLIEST, RunningEngine, consume, produce

pytestmark = pytest.mark.integration

FOLDER = Path(__file__).parents[3] / "ksqldb"
FILES = (
    "queries",
    "amount-rules",
    "account-rules",
    "context-rules",
    "blacklist",
    "currency-limits",
    "currency-limits-values",
    "chargebacks",
)
T0_MS = int(time.time()) // 60 * 60_000 - 3_600_000
"""An hour ago: older records would fall to the topics' retention while the test runs."""

Records = list[tuple[str, dict[str, Any]]]


def transactions(draw: random.Random, numbers: range) -> Records:
    """Transactions of 60 accounts, 50 ms apart, that meet every rule; what may be missing of a payment sometimes is."""
    made = []
    for n in numbers:
        value = {
            "transaction_id": f"tx{n}",
            "amount": round(draw.lognormvariate(5, 2), draw.choice([0, 2, 2, 2, 3])),
            "currency": draw.choice(["BRL", "USD", "KES", "JPY", "usd"]),
            "merchant_id": draw.choice([None, *(f"M{number}" for number in range(40))]),
            "merchant_category": draw.choice(["grocery", "travel", "gambling"]),
            "country": draw.choice(["BR", "US", "KE", None]),
            "latitude": draw.choice([None, -23.5, -23.6, 40.7]),
            "longitude": draw.choice([None, -46.6, -46.7, -74.0]),
            "device_id": draw.choice([None, *(f"D{number}" for number in range(200))]),
            "event_time": T0_MS + 50 * n,
        }
        made.append((f"ACC{draw.randrange(60):03d}", value))
    return made


def steps() -> list[tuple[str, Records, list[int]]]:
    """What is written one after the other: topic, records and their times."""
    draw = random.Random(11)
    first, second = transactions(draw, range(2_500)), transactions(draw, range(2_500, 5_000))
    listed: Records = [(f"account:ACC00{n}", {"REASON": "x"}) for n in range(3)]
    listed += [("merchant:M1", {"REASON": "x"}), ("device:D1", {"REASON": "x"})]
    reported = T0_MS + 125_000
    named = ("transaction_id", "merchant_id", "event_time")
    labels: Records = [
        (account, {name: tx[name] for name in named} | {"is_fraud": True, "reported_at": reported})
        for account, tx in draw.sample(first, 20)
    ]
    return [
        ("blacklist", listed, [T0_MS] * len(listed)),
        ("transactions", first, [tx["event_time"] for _, tx in first]),
        ("fraud_labels", labels, [reported] * len(labels)),
        ("transactions", second, [tx["event_time"] for _, tx in second]),
    ]


def statements() -> list[str]:
    """The statements of all files, variables filled in."""
    found = []
    for name in FILES:
        variables: dict[str, str] = {}
        for text, _ in split_statements((FOLDER / f"{name}.sql").read_text()):
            filled = substitute(text, variables)
            statement = parse_statement(filled)
            if isinstance(statement, ast.Define):
                variables[statement.name] = statement.value
            else:
                found.append(filled)
    return found


Alerts = Counter[tuple[bytes | None, bytes | None]]


def through_server(engine: RunningEngine, servers: str) -> Alerts:
    engine.sql("\n".join(statements()))
    engine.settle()
    for topic, records, times in steps():
        produce(servers, topic, records, times)
        engine.settle()
    return Counter(consume(servers, "fraud_alerts"))


def through_local(batch: int, *, as_bytes: bool = False) -> list[InputRecord]:
    """The alerts; `as_bytes`: with somebody who wants the bytes of all topics, so that no row is handed over as it is."""
    engine = LocalEngine(3, EARLIEST)
    written: list[InputRecord] = []
    engine.listen("fraud_alerts", written.extend)
    engine.run("\n".join(statements()))
    if as_bytes:
        for topic in {sink.topic for query in engine.queries.values() for sink in query.query.sinks}:
            engine.listen(topic, lambda records: None)
    ends: Counter[tuple[str, int]] = Counter()
    for topic, records, times in steps():
        given = []
        for (key, value), time_ms in zip(records, times, strict=True):
            partition = partition_for(key.encode(), 3)
            offset = ends[topic, partition]
            ends[topic, partition] += 1
            given.append(InputRecord(topic, partition, offset, key.encode(), orjson.dumps(value), time_ms))
        for start in range(0, len(given), batch):
            engine.feed(given[start : start + batch])
    assert not any(query.failure or query.skipped or query.errors for query in engine.queries.values())
    return written


def test_the_rules_alert_alike(engine: RunningEngine, servers: str) -> None:
    expected = through_server(engine, servers)
    found = through_local(5_000)
    assert Counter((r.key, r.value) for r in found) == expected
    rules = Counter(orjson.loads(r.value or b"")["RULE"] for r in found)
    assert len(rules) >= 10, rules


def test_rows_that_are_handed_over_change_nothing() -> None:
    assert through_local(500) == through_local(500, as_bytes=True)


def test_the_size_of_the_batches_changes_nothing() -> None:
    assert through_local(5_000) == through_local(7) == through_local(640)
