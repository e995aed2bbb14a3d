"""ksqldb/context-rules.sql: night and new devices against a plain reading of a generated day."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import orjson

from tests.streamguard.rules_sql.reading import Box

HOUR_MS, DAY_MS = 3_600_000, 86_400_000


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
        made = Box("context-rules.sql")
        for pay in payments:
            made.put("transactions", pay["account_id"], pay, pay["event_time"])
        assert set(made.alerts(rule)) == reading(payments) != set()
