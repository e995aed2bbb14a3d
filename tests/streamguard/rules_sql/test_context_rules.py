"""ksqldb/context-rules.sql: night and new devices at their borders, then against a plain reading of a generated day."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.streamguard.rules_sql.test_lists_and_limits import DAY_MS, Box
from tests.support.records import T0_MS

HOUR_MS = 3_600_000
MIDNIGHT_MS = T0_MS - T0_MS % DAY_MS
SAO_PAULO, TOKYO = -46.63, 139.69


def box() -> Box:
    return Box("context-rules.sql")


@pytest.mark.parametrize(
    ("utc_hours", "longitude", "amount", "hit"),
    [
        (0, 0.0, 1_000.01, True),
        (0, 0.0, 1_000, False),
        (4.9999, 0.0, 2_000, True),
        (5, 0.0, 2_000, False),
        (23.9999, 0.0, 2_000, False),
        (3, SAO_PAULO, 2_000, True),  # midnight there
        (2.9999, SAO_PAULO, 2_000, False),
        (8, SAO_PAULO, 2_000, False),
        (15, TOKYO, 2_000, True),  # midnight of the next day there
        (14.9999, TOKYO, 2_000, False),
        (20, TOKYO, 2_000, False),
        (0, None, 2_000, False),
        (23, 7.5, 2_000, True),  # halfway between two hours counts as the later one
        (23, 7.49, 2_000, False),
        (5, -7.51, 2_000, True),
        (12, 180.0, 2_000, True),
        (12, -180.0, 2_000, True),
    ],
)
def test_night_is_where_the_payment_is_made(
    utc_hours: float, longitude: float | None, amount: float, hit: bool
) -> None:
    made = box()
    made.pay("t", amount=amount, at_ms=MIDNIGHT_MS + round(utc_hours * HOUR_MS), longitude=longitude, latitude=0.0)
    assert made.alerts("NIGHT_AMOUNT") == ({"t": "A"} if hit else {})


def pay_with(devices: Sequence[str | None], amount: float = 600, account: str = "A") -> dict[str, str | None]:
    made = box()
    for number, device in enumerate(devices):
        made.pay(f"t{number}", account=account, amount=amount, at_ms=T0_MS + number, device_id=device)
    return made.alerts("NEW_DEVICE")


@pytest.mark.parametrize(
    ("devices", "hits"),
    [
        (["d"] * 5 + ["new"], {"t5"}),
        (["d"] * 4 + ["new"], set()),
        (["d"] * 4 + [None, "new"], set()),  # only payments with a device count
        (["d"] * 5 + [None, "new"], {"t6"}),
        (["d"] * 5 + ["new", "new"], {"t5"}),
        (["a", "b", "c", "d", "e", "c"], set()),
        (["a", "b", "c", "d", "e", "f"], {"t5"}),
        (["old"] + ["d"] * 48 + ["old"], set()),
        (["old"] + ["d"] * 49 + ["old"], {"t50"}),  # forgotten after 49 others
        (["d"] * 6, set()),
    ],
)
def test_a_device_is_new_when_none_of_the_last_payments_had_it(devices: list[str | None], hits: set[str]) -> None:
    assert pay_with(devices) == dict.fromkeys(hits, "A")


def test_a_new_device_needs_an_amount_and_devices_belong_to_accounts() -> None:
    assert pay_with(["d"] * 5 + ["new"], amount=500) == {}
    assert pay_with(["d"] * 5 + ["new"], amount=500.01) == {"t5": "A"}
    made = box()
    for number, (account, device) in enumerate([("A", "a")] * 6 + [("B", "b")] * 6 + [("A", "b"), ("B", "b")]):
        made.pay(f"t{number}", account=account, amount=600, at_ms=T0_MS + number, device_id=device)
    assert made.alerts("NEW_DEVICE") == {"t12": "A"}


@pytest.mark.parametrize("rule", ["NIGHT_AMOUNT", "NEW_DEVICE"])
def test_a_late_payment_is_judged_by_its_own_hour_and_the_order_of_the_log(rule: str) -> None:
    made = box()
    noon_ms = MIDNIGHT_MS + 12 * HOUR_MS
    for number in range(5):
        made.pay(f"t{number}", amount=600, at_ms=noon_ms, device_id="d", longitude=0.0, latitude=0.0)
    made.pay("late", amount=2_000, at_ms=MIDNIGHT_MS + HOUR_MS, device_id="new", longitude=0.0, latitude=0.0)
    assert made.alerts(rule) == {"late": "A"}


def nights(payments: list[dict[str, Any]]) -> set[str]:
    """More than 1,000 between midnight and five, by the sun."""
    found = set()
    for pay in payments:
        if pay.get("longitude") is not None and pay["amount"] > 1_000:
            hour = (pay["event_time"] / HOUR_MS + math.floor(pay["longitude"] / 15 + 0.5)) % 24
            if hour < 5:
                found.add(pay["transaction_id"])
    return found


def new_devices(payments: list[dict[str, Any]]) -> set[str]:
    """More than 500 from a device that is none of the account's last 49, after 5 of them."""
    earlier: defaultdict[str, list[str]] = defaultdict(list)
    found = set()
    for pay in payments:
        device = pay.get("device_id")
        if device is None:
            continue
        before = earlier[pay["account_id"]]
        if len(before) >= 5 and pay["amount"] > 500 and device not in before[-49:]:
            found.add(pay["transaction_id"])
        before.append(device)
    return found


def test_a_generated_day_gives_what_the_plain_reading_gives(tmp_path: Path) -> None:
    file = tmp_path / "day.jsonl"
    command = [sys.executable, "-m", "streamguard.cli", "generate", "batch", "--count", "8000", "--seed", "9"]
    done = subprocess.run([*command, "--to-file", str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    payments = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    for number, pay in enumerate(payments):
        # Few accounts with many payments each, from the devices of all who share one; and a whole day long.
        pay["account_id"] = f"A{int(pay['account_id'][-4:]) % 200}"
        pay["event_time"] += number * DAY_MS // len(payments)
    for rule, reading in (("NIGHT_AMOUNT", nights), ("NEW_DEVICE", new_devices)):
        made = box()
        for pay in payments:
            made.put("transactions", pay["account_id"], pay, pay["event_time"])
        assert set(made.alerts(rule)) == reading(payments) != set()
