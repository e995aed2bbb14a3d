"""Records of the outbox reach their topics once each, whoever sends them and wherever the sender is killed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from kafka.errors import KafkaError
from sqlalchemy import text

from streamguard.alerts.actions import resolve_alert
from streamguard.consumer.publisher import Publisher
from streamguard.consumer.store import Store
from streamguard.database.locks import Lock
from streamguard.kafka.topics import ensure_topics
from streamguard.models import DeadLetter, Decision
from tests.support.broker import BrokerProcess
from tests.support.desk import Desk
from tests.support.processes import eventually
from tests.support.records import T0_MS, Record, high_amount, transaction
from tests.support.topics import read_topic


class Outboxes:
    """Publishers on one database and one broker."""

    def __init__(self, desk: Desk, broker: BrokerProcess) -> None:
        self.desk, self.broker = desk, broker
        self.made: list[Publisher] = []
        ensure_topics(desk.settings.model_copy(update={"kafka_bootstrap_servers": broker.address}))

    def publisher(self) -> Publisher:
        self.made.append(Publisher(self.desk.engine, self.broker.address, "test"))
        return self.made[-1]

    def topic(self, name: str) -> list[Any]:
        return read_topic(self.broker.address, name)

    def waiting(self) -> int:
        [(count,)] = self.desk.rows("SELECT count(*) FROM outbox")
        assert isinstance(count, int)
        return count


@pytest.fixture
def outboxes(desk: Desk, broker: BrokerProcess) -> Iterator[Outboxes]:
    made = Outboxes(desk, broker)
    yield made
    for publisher in made.made:
        publisher.close()


def alert(desk: Desk, number: int) -> None:
    """One more transaction that is judged."""
    desk.feed(
        transaction(number, f"t{number}", "A", 4_000, T0_MS + number),
        high_amount(number, f"t{number}", "A", 4_000, T0_MS + number),
    )


def test_decisions_and_dead_letters_leave_once(desk: Desk, outboxes: Outboxes) -> None:
    alert(desk, 0)
    desk.feed(Record("transactions", 0, 1, b"A", b"{"))
    with desk.engine.begin() as connection:
        resolve_alert(connection, "HIGH_AMOUNT:t0", "confirmed", who="ana", why="card stolen", topic="decisions")
    publisher = outboxes.publisher()
    assert publisher.publish() == 3
    assert publisher.publish() == 0
    by_rules, by_ana = [Decision.from_json(record.value) for record in outboxes.topic("decisions")]
    assert (by_rules.rule, by_rules.account_id, by_rules.transaction_id, by_rules.tx_count) == (
        "HIGH_AMOUNT",
        "A",
        "t0",
        1,
    )
    assert (by_rules.outcome, by_rules.score, by_rules.decided_by) == ("review", 60, "rules")
    assert {"rule", "version", "mode", "points", "reason", "facts"} <= by_rules.verdicts[0].keys()
    assert (by_ana.outcome, by_ana.decided_by, by_ana.reason) == ("confirmed", "analyst:ana", "card stolen")
    assert [record.key for record in outboxes.topic("decisions")] == [b"A", b"A"]
    instants = "SELECT (extract(epoch FROM decided_at) * 1000)::BIGINT FROM decisions ORDER BY decided_at"
    assert [row[0] for row in desk.rows(instants)] == [by_rules.decided_at, by_ana.decided_at]
    [letter] = [DeadLetter.from_json(record.value) for record in outboxes.topic("dead_letters")]
    assert (letter.topic, letter.partition, letter.offset, letter.value) == ("transactions", 0, 1, b"{")


def test_what_was_sent_and_not_removed_is_not_sent_again(desk: Desk, outboxes: Outboxes) -> None:
    """A process killed between the broker's commit and the database's leaves such rows."""
    alert(desk, 0)
    assert outboxes.publisher().publish() == 1
    alert(desk, 1)
    alert(desk, 2)
    desk.rows("CREATE TABLE before AS SELECT * FROM outbox")
    desk.rows("CREATE TABLE positions AS SELECT * FROM outbox_positions")
    assert outboxes.publisher().publish() == 2
    desk.rows("INSERT INTO outbox OVERRIDING SYSTEM VALUE SELECT * FROM before")
    desk.rows("DELETE FROM outbox_positions")
    desk.rows("INSERT INTO outbox_positions SELECT * FROM positions")
    alert(desk, 3)
    assert outboxes.publisher().publish() == 3
    assert [Decision.from_json(r.value).transaction_id for r in outboxes.topic("decisions")] == ["t0", "t1", "t2", "t3"]
    assert outboxes.waiting() == 0


def test_a_new_leader_fences_the_one_before(desk: Desk, outboxes: Outboxes) -> None:
    frozen, heir = outboxes.publisher(), outboxes.publisher()
    alert(desk, 0)
    assert frozen.publish() == 1
    alert(desk, 1)
    assert heir.publish() == 1
    alert(desk, 2)
    with pytest.raises(KafkaError):
        frozen.publish()
    assert outboxes.waiting() == 1
    assert heir.publish() == 1
    assert [Decision.from_json(r.value).transaction_id for r in outboxes.topic("decisions")] == ["t0", "t1", "t2"]


def test_only_one_sends_at_a_time(desk: Desk, outboxes: Outboxes) -> None:
    alert(desk, 0)
    publisher = outboxes.publisher()
    with desk.engine.begin() as other:
        other.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": int(Lock.OUTBOX)})
        assert publisher.publish() == 0
    assert publisher.publish() == 1


def test_a_topic_made_anew_gets_what_it_lacks(desk: Desk, outboxes: Outboxes) -> None:
    """Its offsets begin again, before those that the database remembers."""
    for number in range(3):
        alert(desk, number)
    assert outboxes.publisher().publish() == 3
    desk.rows("UPDATE outbox_positions SET next_offset = next_offset + 1000")
    alert(desk, 3)
    assert outboxes.publisher().publish() == 1
    assert len(outboxes.topic("decisions")) == 4


@pytest.mark.soak
def test_the_thread_sends_what_others_wrote_and_retries(desk: Desk, outboxes: Outboxes) -> None:
    publisher = outboxes.publisher()
    publisher.start()
    alert(desk, 0)
    time.sleep(0)
    assert outboxes.waiting() == 1, "a member that does not lead sends nothing"
    publisher.lead(True)
    eventually(outboxes.waiting, lambda count: count == 0, 20, "the decision is sent")
    outboxes.broker.kill()
    alert(desk, 1)
    publisher.wake()
    outboxes.broker.start()
    eventually(outboxes.waiting, lambda count: count == 0, 60, "the decision is sent after the restart")
    publisher.check()
    assert [Decision.from_json(r.value).transaction_id for r in outboxes.topic("decisions")] == ["t0", "t1"]


def test_a_fault_of_the_thread_ends_the_consumer(desk: Desk, outboxes: Outboxes) -> None:
    """Nothing fails in silence: what the thread cannot retry is raised where the consumer looks."""
    desk.rows("ALTER TABLE outbox RENAME COLUMN value TO bytes")
    publisher = outboxes.publisher()
    publisher.start()
    publisher.lead(True)

    def failed() -> bool:
        try:
            publisher.check()
        except Exception:
            return True
        return False

    eventually(failed, bool, 20, "the fault is raised")


def test_large_records_leave_in_several_transactions(desk: Desk, outboxes: Outboxes) -> None:
    store = Store(desk.engine, desk.settings)
    assert store is not None
    for number in range(5):
        desk.feed(Record("transactions", 1, number, b"A", b"x" * 5_000_000))
    publisher = outboxes.publisher()
    sent = []
    while count := publisher.publish():
        sent.append(count)
    assert sum(sent) == 5 and len(sent) > 1
    assert [len(DeadLetter.from_json(r.value).value or b"") for r in outboxes.topic("dead_letters")] == [5_000_000] * 5
