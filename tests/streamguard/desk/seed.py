"""What pages of the desk need to have something to show."""

from __future__ import annotations

from pathlib import Path

import orjson

from streamguard.backtest.execute import execute
from streamguard.backtest.prepare import Files, Request
from streamguard.backtest.result import encode
from streamguard.backtest.spec import dump
from streamguard.backtest.store import keep
from tests.streamguard.backtest.conftest import START_MS, Bench, Payment
from tests.support.desk import Desk


def pay(number: int, amount: float, account: str = "A", days: float = 0) -> Payment:
    """A payment, so many days after the first."""
    at_ms = START_MS + int(days * 86_400_000) + number * 100_000
    named = {"transaction_id": f"t{number}", "account_id": account, "amount": amount, "currency": "EUR"}
    return {**named, "event_time": at_ms}


def keep_backtest(desk: Desk, folder: Path, fraud_amounts: dict[str, dict[str, str]] | None = None) -> int:
    """Keep a back-test of a higher limit, by which two alerts change. Returns its number."""
    file = folder / "payments.jsonl"
    sent = [pay(1, 4_000), pay(2, 2_999), pay(3, 5_000, "B", days=4)]
    file.write_bytes(b"".join(orjson.dumps(payment) + b"\n" for payment in sent))
    bench = Bench("127.0.0.1:1", folder)
    spec = bench.spec(Request(limits=["review_at=61"], files=Files(file)))
    result = execute(spec, bench.servers)
    for name, amounts in (fraud_amounts or {}).items():
        result["sides"][name]["fraud_amounts"] = amounts
    command = "streamguard backtest --limit review_at=61"
    with desk.engine.begin() as connection:
        return keep(connection, command=command, inputs=dump(spec), result=encode(result), who="lead")
