"""Ten million transactions in the lake: all jobs within a minute and two gigabytes on two cores.

Measured by hand (`pytest -m "" -s`): a machine that does other work as well says nothing about the time, so only the memory is
asserted.
"""

from __future__ import annotations

import os
import threading
import time
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import deltalake
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute
import pytest

from streamguard.analytics.run import analyse
from streamguard.config import load_settings

COUNT, DAYS = 10_000_000, 90
ACCOUNTS, MERCHANTS = 200_000, 20_000
MOST_BYTES = 2_000_000_000
_FIRST = date(2026, 1, 5)


def make(lake: Path, count: int = COUNT) -> None:
    """A day at a time, as the lake's compaction leaves them; with every column that the lake has."""
    rng = np.random.default_rng(7)
    per_day = count // DAYS
    merchant_kinds = rng.integers(0, 12, MERCHANTS)
    for day in range(DAYS):
        table = _day(rng, per_day if day else count - per_day * (DAYS - 1), day, merchant_kinds)
        deltalake.write_deltalake(str(lake / "transactions"), table, partition_by=["day"], mode="append")
        flagged = table.filter(pa.array(rng.random(len(table)) < 0.004))
        at = flagged["event_time"]
        columns = {
            "alert_id": _joined("HIGH_AMOUNT:", flagged["transaction_id"]),
            "tx_count": pa.array(np.ones(len(flagged), np.int64)),
            "rule": pa.array(np.where(rng.random(len(flagged)) < 0.5, "HIGH_AMOUNT", "VELOCITY")),
            "account_id": flagged["account_id"],
            "transaction_id": flagged["transaction_id"],
            "outcome": pa.array(np.where(rng.random(len(flagged)) < 0.5, "block", "review")),
            "decided_by": pa.array(["rules"] * len(flagged)),
            "decided_at": at,
            "day": flagged["day"],
        }
        deltalake.write_deltalake(str(lake / "decisions"), pa.table(columns), partition_by=["day"], mode="append")


def _day(rng: np.random.Generator, count: int, day: int, merchant_kinds: Any) -> pa.Table:
    accounts = (ACCOUNTS * rng.random(count) ** 2).astype(np.int64)
    merchants = (MERCHANTS * rng.random(count) ** 3).astype(np.int64)
    cents = np.maximum(1, np.round(np.exp(rng.normal(3.8, 1.1, count)) * 100)).astype(np.int64)
    start = datetime(2026, 1, 5, tzinfo=timezone.utc) + timedelta(days=day)
    micros = np.int64(start.timestamp() * 1e6) + np.sort(rng.integers(0, 86_400_000, count)) * 1000
    words = {
        "currency": ["EUR", "BRL", "KES"],
        "transaction_type": ["card", "pix", "send_money", "withdraw"],
        "channel": ["app", "pos", "ecommerce", "ussd"],
        "city": [f"city {n}" for n in range(40)],
        "country": ["BR", "KE", "DE"],
    }
    numbers = np.arange(count, dtype=np.int64) + day * 1_000_000
    columns: dict[str, Any] = {
        "transaction_id": _joined("tx-", pa.array(numbers).cast(pa.string())),
        "account_id": _joined("A-", pa.array(accounts).cast(pa.string())),
        "amount": pa.array(cents).cast(pa.decimal128(19, 0)).cast(pa.decimal128(23, 4)),
        "merchant_id": _joined("M-", pa.array(merchants).cast(pa.string())),
        "merchant_name": _joined("Merchant ", pa.array(merchants).cast(pa.string())),
        "merchant_category": pa.array([f"category {n}" for n in range(12)]).take(pa.array(merchant_kinds[merchants])),
        "device_id": _joined("dev-", pa.array(accounts * 3 % 1_000_003).cast(pa.string())),
        "ip_address": _joined("10.0.0.", pa.array(accounts % 255).cast(pa.string())),
        "latitude": pa.array(rng.random(count)),
        "longitude": pa.array(rng.random(count)),
        "event_time": pa.array(micros, pa.timestamp("us", "UTC")),
        "is_fraud": pa.array(rng.random(count) < 0.005),
        "day": pa.array([_FIRST + timedelta(days=day)] * count, pa.date32()),
        "topic": pa.array(["transactions"] * count),
        "offset": pa.array(numbers),
    }
    # An account has one currency.
    by_account = {"currency": accounts % 3, "country": accounts % 3}
    for name, choices in words.items():
        places = by_account.get(name, rng.integers(0, len(choices), count))
        columns[name] = pa.array(choices).take(pa.array(places))
    columns["amount"] = pa.compute.divide(columns["amount"], pa.scalar(100, pa.decimal128(3, 0))).cast(
        pa.decimal128(19, 4), safe=False
    )
    return pa.table(columns)


def _joined(before: str, values: Any) -> Any:
    return pa.compute.binary_join_element_wise(pa.scalar(before), values, "")


class Memory:
    """The most that this process and the engine have in memory together, looked at ten times a second; the engine's CPU time."""

    def __init__(self) -> None:
        self.most = self.most_engine = 0
        self.cpu_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        own = psutil.Process()
        while not self._stop.wait(0.1):
            try:
                children = own.children(recursive=True)
                engine = sum(child.memory_info().rss for child in children)
                self.cpu_s = max(self.cpu_s, sum(sum(child.cpu_times()[:2]) for child in children))
            except psutil.NoSuchProcess:
                continue
            self.most_engine = max(self.most_engine, engine)
            self.most = max(self.most, engine + own.memory_info().rss)


@pytest.mark.soak
def test_ten_million_transactions(tmp_path: Path) -> None:
    lake = Path(os.environ.get("STREAMGUARD_TEST_BIG_LAKE", tmp_path / "lake"))
    if not lake.exists():
        make(lake)
    started = time.monotonic()
    with Memory() as memory:
        found = analyse(load_settings(lake_uri=str(lake)), store=False)
    seconds = time.monotonic() - started
    each = ", ".join(f"{result.job.name} {result.seconds:.1f} s" for result in found.results)
    print(
        f"\n{found.transactions:,} transactions: {seconds:.1f} s ({each}), {memory.most / 1e6:,.0f} MB"
        f" ({memory.most_engine / 1e6:,.0f} MB of them the engine), {memory.cpu_s:.0f} s of CPU, load {os.getloadavg()[0]:.1f}"
    )
    assert found.transactions == COUNT and not any(result.error for result in found.results)
    assert memory.most < MOST_BYTES
