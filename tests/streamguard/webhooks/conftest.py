"""Webhooks for tests: a database, a broker with the topic of decisions, and the service with short waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson
import pytest

from streamguard.webhooks.hooks import Wanted, add_hook
from streamguard.webhooks.schedule import Schedule
from streamguard.webhooks.service import Webhooks
from tests.streamguard.desk.plumbing import make_topic, on_broker, produce
from tests.support.broker import BrokerProcess
from tests.support.desk import Desk
from tests.support.receiver import Receiver

SOON = Schedule(first_s=0.01, longest_s=0.05, longest_hold_s=0.05)
Serve = Callable[..., Webhooks]


@pytest.fixture
def desk(desk: Desk, broker: BrokerProcess) -> Desk:
    """A store whose Kafka has the topic, with three decisions from before there was a webhook."""
    make_topic(broker, "decisions", 3)
    decide(broker, *range(900, 903))
    return on_broker(desk, broker)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        yield found


@pytest.fixture
def serve(desk: Desk) -> Iterator[Serve]:
    """Starts the service; it ends with the test."""
    made: list[Webhooks] = []

    def start(schedule: Schedule = SOON, timeout_s: float = 10.0) -> Webhooks:
        made.append(Webhooks(desk.settings, desk.engine, schedule=schedule, timeout_s=timeout_s))
        made[-1].start()
        return made[-1]

    yield start
    for service in made:
        service.close()


def decision(number: int, outcome: str = "review", rule: str = "HIGH_AMOUNT") -> bytes:
    return orjson.dumps({"alert_id": f"{rule}:{number}", "number": number, "outcome": outcome, "rule": rule})


def decide(broker: BrokerProcess, *numbers: int, **fields: str) -> None:
    """Write decisions, spread over the partitions by their number."""
    produce(broker, "decisions", *({"partition": n % 3, "value": decision(n, **fields)} for n in numbers))


def add(desk: Desk, receiver: Receiver, outcomes: tuple[str, ...] = (), rules: tuple[str, ...] = ()) -> tuple[int, str]:
    """A webhook to this receiver: its number and secret."""
    with desk.engine.begin() as connection:
        return add_hook(connection, desk.settings, Wanted(receiver.url, "", outcomes, rules), by="admin")


def statuses(desk: Desk) -> list[tuple[object, ...]]:
    """How many deliveries have which status."""
    return desk.rows("SELECT status, count(*) FROM webhook_deliveries GROUP BY 1 ORDER BY 1")
