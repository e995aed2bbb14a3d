"""Several consumers of one group: partitions move as members join, leave, freeze and die, and the tables end as one alone
would leave them."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import pytest

from tests.integration.stackrun import SNAPSHOT
from tests.integration.test_consumer import Bench, bench
from tests.support.processes import Program, eventually
from tests.support.records import T0_MS, high_amount, high_velocity, transaction_value

pytestmark = pytest.mark.integration

__all__ = ["bench"]

PER_S = 400
FROZEN_S = 9.0
"""Longer than the group waits for a member's sign of life (6 s): its partitions go to others, and it does not know."""


class Feed:
    """Payments and the alerts on them, at a steady pace until told to end; alerts may come before their payments."""

    def __init__(self, bench: Bench) -> None:
        self._bench, self._chosen, self._over = bench, random.Random(5), threading.Event()
        self._minutes: dict[tuple[str, int], list[str]] = {}
        self.payments = self.alerts = 0

    def run(self) -> None:
        while not self._over.wait(0.05):
            for _ in range(PER_S // 20):
                self._payment()
        self._bench.producer.flush()

    def end(self) -> None:
        self._over.set()

    def _payment(self) -> None:
        number, account, at_ms = self.payments, f"A{self._chosen.randrange(60)}", T0_MS + self.payments * 40
        amount = 4_000 if number % 10 == 0 else 10
        self._bench.send("transactions", account, orjson.dumps(transaction_value(f"t{number}", account, amount, at_ms)))
        self.payments += 1
        minute = at_ms - at_ms % 60_000
        ids = self._minutes.setdefault((account, minute), [])
        ids.append(f"t{number}")
        found = [high_amount(0, f"t{number}", account, amount, at_ms)] if amount > 10 else []
        if len(ids) > 3:
            found.append(high_velocity(0, account, minute, ids, 10 * len(ids)))
        for alert in found:
            self._bench.send("fraud_alerts", account, alert.value)
        self.alerts += len(found)


@contextmanager
def fed(bench: Bench) -> Iterator[Feed]:
    feed = Feed(bench)
    thread = threading.Thread(target=feed.run)
    thread.start()
    try:
        yield feed
    finally:
        feed.end()
        thread.join(timeout=30)


def assignments(program: Program) -> list[str]:
    return [line for line in program.said().splitlines() if " assigned " in line and " from " in line]


def wait_assigned(program: Program, times: int = 1) -> None:
    """Until it was given partitions so often."""
    eventually(lambda: len(assignments(program)), lambda seen: seen >= times, 40, program.said)


def wait_shared(program: Program) -> None:
    """Until it has some of the partitions, and another one the others."""

    def mine() -> int:
        return (assignments(program) or [""])[-1].count("transactions/")

    eventually(mine, lambda count: 0 < count < 3, 40, program.said)


def state(bench: Bench) -> dict[str, list[tuple[object, ...]]]:
    return {name: bench.postgres.query(statement) for name, statement in SNAPSHOT.items()}


def settled(bench: Bench, feed: Feed) -> dict[str, list[tuple[object, ...]]]:
    bench.wait_read(feed.payments + feed.alerts, timeout_s=60)
    assert bench.read() == feed.payments + feed.alerts
    bench.in_is_out()
    return state(bench)


def ends_as_alone(bench: Bench, feed: Feed, *members: Program) -> None:
    """The tables that members have left are those that one leaves which reads the same topics from their beginning."""
    together = settled(bench, feed)
    assert len(together["transactions"]) == feed.payments
    assert len(together["decisions"]) == feed.alerts
    for member in members:
        member.end(signal.SIGKILL)
    bench.postgres.wipe()
    bench.consumer("alone", STREAMGUARD_CONSUMER_GROUP="alone")
    alone = settled(bench, feed)
    for name, rows in alone.items():
        assert together[name] == rows, name


def test_a_member_that_is_killed_leaves_its_work_to_the_other(bench: Bench) -> None:
    small = {"STREAMGUARD_BATCH_MAX_RECORDS": "50"}
    with fed(bench) as feed:
        first, second = bench.consumer("first", **small), bench.consumer("second", **small)
        for member in (first, second):
            wait_shared(member)
        bench.wait_read(bench.read() + PER_S)
        held = len(assignments(first))
        second.end(signal.SIGKILL)
        wait_assigned(first, held + 1)
    ends_as_alone(bench, feed, first)


@pytest.mark.soak
def test_members_that_join_leave_freeze_and_die_do_the_work_of_one(bench: Bench) -> None:
    small = {"STREAMGUARD_BATCH_MAX_RECORDS": "50"}
    with fed(bench) as feed:
        first = bench.consumer("first", **small)
        bench.wait_read(200)
        second = bench.consumer("second", **small)
        wait_assigned(second)
        held = len(assignments(second))
        assert first.end(signal.SIGTERM) == 0
        wait_assigned(second, held + 1)
        held = len(assignments(first))
        first.start()
        wait_assigned(first, held + 1)
        assert second.process is not None
        held = len(assignments(first))
        # Whatever it does at that moment: also in the middle of a database transaction, with the lock in its hands.
        second.process.send_signal(signal.SIGSTOP)
        threading.Event().wait(FROZEN_S)
        wait_assigned(first, held + 1)
        # It wakes with records in its hands that another has stored meanwhile.
        second.process.send_signal(signal.SIGCONT)
        read = bench.read()
        bench.wait_read(read + 2 * PER_S)
        held = len(assignments(second))
        first.end(signal.SIGKILL)
        wait_assigned(second, held + 1)
    ends_as_alone(bench, feed, second)
