"""Each SQL rule read once more in plain Python, from its sentence and not from its SQL; and a way to run the files."""

from __future__ import annotations

import csv
import gzip
import math
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from streamguard.sqldeploy.script import read
from streamguard_ksql.operators.record import OutputRecord
from streamguard_ksql.testing.harness import Harness
from tests.support.project import PROJECT_ROOT
from tests.support.records import T0_MS


@dataclass(frozen=True)
class Pay:
    """A payment as the plain readings see it."""

    id: str
    account: str
    amount: float
    at: int
    place: tuple[float, float] | None = None


class Box:
    """The files deployed in a box; records go in, topics come out."""

    def __init__(self, *files: str) -> None:
        self.harness = Harness({})
        for file in ("queries.sql", *files):
            for item in read(PROJECT_ROOT / "ksqldb" / file):
                self.harness.execute(item.statement)

    def put(self, topic: str, key: str, value: dict[str, Any] | None, at_ms: int = T0_MS) -> None:
        data = None if value is None else orjson.dumps(value)
        self.harness.feed(OutputRecord(topic, key.encode(), data, at_ms))

    def out(self, topic: str) -> list[dict[str, Any]]:
        records = [record for record in self.harness.written if record.topic == topic and record.value]
        return [
            {name.lower(): value for name, value in orjson.loads(record.value or b"").items()} for record in records
        ]

    def alerts(self, rule: str) -> dict[str, str | None]:
        """Transaction to account, as the key of the alert has it."""
        self.harness.settle()
        found: dict[str, str | None] = {}
        for record in self.harness.written:
            if record.topic == "fraud_alerts" and record.value and record.key:
                value = orjson.loads(record.value)
                if value["RULE"] == rule:
                    found[value["TRANSACTION_ID"]] = record.key.decode()
        return found


def run_sql(
    files: Iterable[str], payments: Iterable[Pay], limits: Mapping[str, str] | None = None
) -> dict[str, dict[str, Any]]:
    """The alerts that the files raise on these payments, newest version by id, keys in lower case.

    `limits` stand in for DEFINEs of the files.
    """
    harness = Harness({})
    for file in files:
        text = (PROJECT_ROOT / "ksqldb" / file).read_text()
        for name, limit in (limits or {}).items():
            text = re.sub(rf"DEFINE {name} = '[^']*'", f"DEFINE {name} = '{limit}'", text)
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as changed:
            changed.write(text)
            changed.flush()
            for item in read(Path(changed.name)):
                harness.execute(item.statement)
    for pay in payments:
        value: dict[str, Any] = {
            "transaction_id": pay.id,
            "amount": pay.amount,
            "event_time": pay.at,
            "currency": "BRL",
        }
        if pay.place is not None:
            value |= {"latitude": pay.place[0], "longitude": pay.place[1]}
        harness.feed(OutputRecord("transactions", pay.account.encode(), orjson.dumps(value), pay.at))
    harness.settle()
    found = {}
    for record in harness.written:
        if record.topic == "fraud_alerts" and record.value is not None:
            alert = {name.lower(): value for name, value in orjson.loads(record.value).items()}
            found[alert["alert_id"]] = alert
    return found


def lookback(payments: list[Pay], rule: str, within_ms: int, more_than: int) -> dict[str, int]:
    """Count back from each payment over its account's earlier ones (at most the last 20)."""
    earlier: defaultdict[str, list[int]] = defaultdict(list)
    found = {}
    for pay in payments:
        earlier[pay.account].append(pay.at)
        count = sum(pay.at - within_ms < at <= pay.at for at in earlier[pay.account][-20:])
        if count > more_than:
            found[f"{rule}:{pay.id}"] = count
    return found


def anomalies(payments: list[Pay], times: float, after: int) -> set[str]:
    """A payment above `times` the average of all before it, from the `after`+1-th on."""
    earlier: defaultdict[str, list[float]] = defaultdict(list)
    found = set()
    for pay in payments:
        before = earlier[pay.account]
        if len(before) >= after and pay.amount > times * math.fsum(before) / len(before):
            found.add(f"AMOUNT_ANOMALY:{pay.id}")
        before.append(pay.amount)
    return found


def travels(payments: list[Pay], km: float, within_ms: int) -> set[str]:
    """Two payments in a row further apart than `km` in less than `within_ms`."""
    last: dict[str, Pay] = {}
    found = set()
    for pay in payments:
        if pay.place is None:
            continue
        before = last.get(pay.account)
        near_in_time = before is not None and abs(pay.at - before.at) < within_ms
        if near_in_time and before and before.place and haversine_km(before.place, pay.place) > km:
            found.add(f"IMPOSSIBLE_TRAVEL:{pay.id}")
        last[pay.account] = pay
    return found


def spends(payments: list[Pay], above: float, window_ms: int) -> dict[str, tuple[int, float]]:
    """Money per account and tumbling window; payments must come in order of time."""
    windows: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    for pay in payments:
        windows[pay.account, pay.at - pay.at % window_ms].append(pay.amount)
    return {
        f"WINDOW_AMOUNT:{account}:{start}": (len(amounts), round(sum(amounts), 2))
        for (account, start), amounts in windows.items()
        if sum(amounts) > above
    }


def haversine_km(one: tuple[float, float], other: tuple[float, float]) -> float:
    """The great-circle distance on a sphere of 6,371 km."""
    (lat1, lon1), (lat2, lon2) = ((math.radians(a), math.radians(b)) for a, b in (one, other))
    h = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * 6_371 * math.asin(math.sqrt(h))


def card_payments(path: Path, limit: int) -> list[Pay]:
    """The first rows of a month of the handbook's card data, without those of no amount: no rule sees them."""
    with gzip.open(path, "rt") as lines:
        rows = [row for _, row in zip(range(limit), csv.DictReader(lines), strict=False)]
    return [
        Pay(row["transaction_id"], row["customer_id"], float(row["amount"]), _epoch_ms(row["timestamp"]))
        for row in rows
        if float(row["amount"]) > 0
    ]


def _epoch_ms(text: str) -> int:
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def file_payments(path: Path) -> list[Pay]:
    """Payments that the generator wrote to a JSON lines file."""
    found = []
    for line in path.read_bytes().splitlines():
        value = orjson.loads(line)
        place = None
        if value.get("latitude") is not None and value.get("longitude") is not None:
            place = (value["latitude"], value["longitude"])
        found.append(Pay(value["transaction_id"], value["account_id"], value["amount"], value["event_time"], place))
    return found
