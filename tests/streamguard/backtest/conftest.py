"""Payments for back-tests, in a topic or as files, and a plain reading of the velocity rule."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from streamguard.backtest.execute import execute
from streamguard.backtest.prepare import Files, Request, Stack, prepare
from streamguard.backtest.spec import Spec
from streamguard.config import load_settings
from tests.support.broker import BrokerProcess

START_MS = 1_790_000_000_000
CLOCK_MS = START_MS + 86_400_000
MINUTE_MS, GRACE_MS = 60_000, 10_000
TOPICS = ("transactions", "fraud_alerts", "fraud_labels", "blacklist")

Payment = dict[str, Any]


def payments(count: int, *, accounts: int = 40, seed: int = 1) -> list[Payment]:
    """Transactions of some accounts, many of them within a minute of each other, some late."""
    rng = random.Random(seed)
    found = []
    at_ms = START_MS
    for number in range(count):
        at_ms += rng.randrange(1, 1_500)
        late_ms = rng.choice((0, 0, 0, 20_000, 90_000))
        found.append(
            {
                "transaction_id": f"t{number}",
                "account_id": f"A{rng.randrange(accounts)}",
                "amount": round(rng.uniform(1, 4_000), 2),
                "currency": rng.choice(("KES", "EUR")),
                "merchant_id": f"M{rng.randrange(9)}",
                "event_time": at_ms - late_ms,
            }
        )
    return found


def velocity_alerts(by_partition: list[list[Payment]], limit: int) -> dict[str, tuple[int, list[str]]]:
    """What HIGH_VELOCITY says, read plainly: by alert the count and the ids of its transactions.

    A minute of an account is closed when its partition has seen a time later than its end by the grace period.
    """
    found = {}
    for partition in by_partition:
        windows: dict[tuple[str, int], list[str]] = {}
        latest_ms = 0
        for payment in partition:
            latest_ms = max(latest_ms, payment["event_time"])
            start_ms = payment["event_time"] // MINUTE_MS * MINUTE_MS
            if start_ms + MINUTE_MS + GRACE_MS <= latest_ms:
                continue
            ids = windows.setdefault((payment["account_id"], start_ms), [])
            ids.append(payment["transaction_id"])
            if len(ids) > limit:
                found[f"HIGH_VELOCITY:{payment['account_id']}:{start_ms}"] = len(ids), list(ids)
    return found


@dataclass
class Bench:
    """Runs back-tests on what it has been given."""

    servers: str
    folder: Path
    stack: Stack = field(default_factory=Stack)

    def spec(self, request: Request) -> Spec:
        settings = load_settings(kafka_bootstrap_servers=self.servers)
        return prepare(request, settings, self.stack, CLOCK_MS)

    def run(self, request: Request) -> dict[str, Any]:
        return execute(self.spec(request), self.servers)

    def on_files(self, sent: list[Payment], request: Request) -> dict[str, Any]:
        file = self.folder / "payments.jsonl"
        file.write_bytes(b"".join(orjson.dumps(payment) + b"\n" for payment in sent))
        return self.run(replace(request, files=Files(file)))

    def sql(self, text: str, name: str = "new.sql") -> Path:
        """A file of SQL."""
        path = self.folder / name
        path.write_text(text)
        return path


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """On files: there is no broker."""
    return Bench("127.0.0.1:1", tmp_path)


@pytest.fixture
def topic_bench(tmp_path: Path, broker: BrokerProcess) -> Iterator[Bench]:
    """On the topics of a broker, which are there and empty."""
    admin = AdminClient({"bootstrap.servers": broker.address})
    for future in admin.create_topics([NewTopic(name, 3) for name in TOPICS]).values():
        future.result(20)
    yield Bench(broker.address, tmp_path)


def send(servers: str, sent: list[Payment], labels: dict[str, str] | None = None) -> list[list[Payment]]:
    """Send transactions, with a header `label` where labels are given; returns them by partition, in their order."""
    by_partition: list[list[Payment]] = [[], [], []]
    places: dict[str, int] = {}

    def stored(error: Any, message: Any) -> None:
        assert error is None, error
        places[orjson.loads(message.value())["transaction_id"]] = message.partition()

    producer = Producer({"bootstrap.servers": servers, "partitioner": "murmur2_random", "acks": "all"})
    for payment in sent:
        headers: list[tuple[str, str | bytes | None]] = []
        if labels is not None:
            headers.append(("label", labels.get(payment["transaction_id"], "").encode()))
        producer.produce(
            "transactions", orjson.dumps(payment), payment["account_id"], headers=headers, on_delivery=stored
        )
        producer.poll(0)
    assert producer.flush(30) == 0
    for payment in sent:
        by_partition[places[payment["transaction_id"]]].append(payment)
    return by_partition
