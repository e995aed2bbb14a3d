"""ksqldb/analytics.sql against a plain reading of each figure, over a generated day with late and invalid records."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.sqldeploy.script import read
from streamguard_ksql.operators.record import InputRecord, OutputRecord
from streamguard_ksql.testing.harness import Harness
from streamguard_ksql.topology import Topology
from tests.streamguard.rules_sql.figures_reading import (
    CATEGORIES,
    EARN_NOTHING,
    NAMED_BY,
    Key,
    Sums,
    commission,
    read_plainly,
)
from tests.support.project import PROJECT_ROOT
from tests.support.records import T0_MS

KSQLDB = PROJECT_ROOT / "ksqldb"
FILES = ("queries.sql", "analytics.sql", "analytics-sliding.sql")
ANALYTICS = KSQLDB / "analytics.sql"

INVALID: list[dict[str, Any]] = [
    {"amount": -5},
    {"amount": 10.001, "currency": "EUR"},
    {"currency": "XXX"},
    {"country": "ZZ"},
    {"event_time": 10**15},
    {"latitude": 91},
    {"transaction_id": ""},
]
ODD: list[dict[str, Any]] = [
    {"channel": None, "city": None, "merchant_category": None},
    {"transaction_type": None, "merchant_id": None, "merchant_name": None},
    {"transaction_type": "Refund"},
    {"transaction_type": "withdraw"},
    {"currency": "usd"},
    {"currency": "JPY", "amount": 100_000},
    {"currency": "KWD", "amount": 99.999},
]


def generated(folder: Path, count: int, seed: int) -> list[dict[str, Any]]:
    """A day of the profile psp, in the order of time; some with other currencies, types and gaps."""
    file = folder / "day.jsonl"
    command = [sys.executable, "-m", "streamguard.cli", "generate", "batch", "--profile", "psp"]
    command += ["--count", str(count), "--seed", str(seed), "--to-file", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    rng = Random(seed)
    found = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    return [fields | rng.choice(ODD) if rng.random() < 0.1 else fields for fields in found]


def shuffled(transactions: list[dict[str, Any]], rng: Random, most_late_ms: int) -> list[tuple[dict[str, Any], bool]]:
    """In the order of their arrival, some late; among them invalid ones, which are marked."""
    arrivals = []
    for number, fields in enumerate(transactions):
        late_ms = rng.randrange(most_late_ms) if rng.random() < 0.1 else 0
        arrivals.append((fields["event_time"] + late_ms, number, fields, True))
        if rng.random() < 0.05:
            broken = {**fields, "transaction_id": f"bad-{number}", **rng.choice(INVALID)}
            arrivals.append((fields["event_time"], number, broken, False))
    arrivals.sort(key=lambda arrival: arrival[:2])
    return [(fields, is_valid) for _, _, fields, is_valid in arrivals]


def deployed(*files: str) -> Harness:
    harness = Harness({})
    for file in files:
        for item in read(KSQLDB / file):
            harness.execute(item.statement)
    return harness


def figures_of(harness: Harness) -> dict[Key, Sums]:
    """What the tables ended with."""
    found: dict[Key, Sums] = {}
    for record in harness.written:
        if record.topic.startswith("figures_by_"):
            assert record.value is not None
            row = {name.lower(): value for name, value in json.loads(record.value, parse_float=Decimal).items()}
            key = (record.topic.removeprefix("figures_by_"), row["window_start"], row["name"], row["currency_code"])
            ways = {way: Decimal(row[way]) for way in ("flat", "progressive", "tiered", "by_category")}
            found[key] = Sums(row["tx_count"], Decimal(row["total_amount"]), Decimal(row["earning"]), ways)
    return found


def test_a_generated_day_gives_what_the_plain_reading_gives(tmp_path: Path) -> None:
    arrivals = shuffled(generated(tmp_path, 2_000, 7), Random(7), 20 * 60_000)
    harness = deployed(*FILES)
    for fields, _ in arrivals:
        key = str(fields["account_id"]).encode()
        harness.feed(OutputRecord("transactions", key, orjson.dumps(fields), fields["event_time"]))
    harness.settle()
    found, wanted = figures_of(harness), read_plainly((f for f, is_valid in arrivals if is_valid), NAMED_BY)
    assert found == wanted
    counted = sum(sums.count for (figure, *_), sums in found.items() if figure == "type")
    valid = sum(is_valid for _, is_valid in arrivals)
    assert 0.9 * valid < counted < valid, "some were too late"
    assert len({currency for *_, currency in found}) > 3
    assert {figure for figure, *_ in found} == set(NAMED_BY)
    assert not harness.failures


@pytest.fixture(scope="module")
def commissions() -> tuple[Harness, Topology]:
    harness = deployed("queries.sql", "analytics.sql")
    [topology] = [t for query, t in harness.running.values() if query.query_id.startswith("CSAS_COMMISSIONS")]
    return harness, topology


edges = st.sampled_from([100, 1_000]).flatmap(
    lambda edge: st.integers(-2, 2).map(lambda cents: Decimal(edge) + Decimal(cents) / 100)
)
amounts = st.one_of(
    edges,
    st.decimals("0.01", "999999999999.99", places=2),
    st.sampled_from([Decimal("0.01"), Decimal("999999999999.99")]),
)
types = st.sampled_from([None, "", "card", "transfer", " ", "Refund", "CASH_OUT", "refunds", *sorted(EARN_NOTHING)])
categories = st.sampled_from([None, "", "cafe", "Grocery", *CATEGORIES])


@given(st.lists(st.tuples(amounts, types, categories), min_size=1, max_size=20))
def test_the_commission_is_exact_at_every_amount(
    commissions: tuple[Harness, Topology], cases: list[tuple[Decimal, str | None, str | None]]
) -> None:
    harness, topology = commissions
    before = len(harness.written)
    for number, (amount, kind, category) in enumerate(cases):
        value = (
            f'{{"transaction_id": "t{number}", "amount": {amount}, "currency": "EUR", "event_time": {T0_MS},'
            f' "transaction_type": {json.dumps(kind)}, "merchant_category": {json.dumps(category)}}}'
        )
        topology.feed(0, [InputRecord("transactions", 0, number, b"A", value.encode(), T0_MS, [])])
    written = [json.loads(r.value or b"", parse_float=Decimal) for r in harness.written[before:]]
    found = [{way: Decimal(row[way.upper()]) for way in commission(Decimal(1), None, None)} for row in written]
    assert found == [commission(*case) for case in cases]


def test_each_category_has_the_rate_of_its_own_name() -> None:
    stream = next(item for item in read(ANALYTICS) if item.name == "COMMISSIONS")
    used = re.findall(r"merchant_category = '(\w+)' THEN CAST\('\$\{commission_category_(\w+)\}'", stream.text)
    prefix = "commission_category_"
    defined = {n.removeprefix(prefix): v for n, v in stream.variables.items() if n.startswith(prefix)}
    assert dict(used) == {name: name for name in defined}
    assert defined == CATEGORIES


def test_it_raises_no_alert() -> None:
    assert not [item.name for file in FILES[1:] for item in read(KSQLDB / file) if item.kind == "query"]
