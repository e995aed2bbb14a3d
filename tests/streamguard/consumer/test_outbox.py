"""Dead letters reach their topic once each, whoever sends them and wherever the sender died."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition
from sqlalchemy import text

from streamguard.config import load_settings
from streamguard.consumer.outbox import Outbox
from streamguard.kafka.topics import ensure_topics
from tests.support.broker import BrokerProcess
from tests.support.desk import Desk
from tests.support.processes import eventually
from tests.support.records import Record

PARTITIONS = [("transactions", 0), ("transactions", 1)]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    folder: Path = tmp_path_factory.mktemp("log")
    with BrokerProcess(folder / "data") as running:
        yield running


@pytest.fixture
def topic(broker: BrokerProcess, request: pytest.FixtureRequest) -> str:
    """A topic of the test's own."""
    name = f"dead_{request.node.name}"
    ensure_topics(load_settings(kafka_bootstrap_servers=broker.address, dead_letters_topic=name))
    return name


@pytest.fixture
def two(desk: Desk, broker: BrokerProcess, topic: str) -> Iterator[tuple[Outbox, Outbox]]:
    """The outboxes of two members."""
    made = Outbox(desk.engine, broker.address, topic), Outbox(desk.engine, broker.address, topic)
    yield made
    for outbox in made:
        outbox.close()


def die(desk: Desk, partition: int, offset: int) -> None:
    """One more bad record, read and stored."""
    desk.rows("DELETE FROM consumer_offsets")
    desk.feed(Record("transactions", partition, offset, b"A", b"{"))


def sent(broker: BrokerProcess, topic: str) -> int:
    reader = KafkaConsumer(bootstrap_servers=broker.address)
    ends = reader.end_offsets([TopicPartition(topic, number) for number in range(3)])
    reader.close()
    return sum(ends.values())


def test_who_takes_over_asks_the_topic_what_was_sent(
    desk: Desk, two: tuple[Outbox, Outbox], broker: BrokerProcess, topic: str
) -> None:
    """A member that has sent for long is given a partition whose owner died between sending and marking."""
    dead, heir = two
    die(desk, 1, 0)
    assert heir.publish(PARTITIONS[1:]) == 1
    die(desk, 0, 0)
    assert dead.publish(PARTITIONS[:1]) == 1
    desk.rows("UPDATE dead_letters SET published = FALSE WHERE source_partition = 0")
    heir.taken_over()
    assert heir.publish(PARTITIONS) == 1
    assert sent(broker, topic) == 2
    assert desk.rows("SELECT count(*) FROM dead_letters WHERE published") == [(2,)]


def test_rows_in_anothers_hands_are_asked_for_again(
    desk: Desk, two: tuple[Outbox, Outbox], broker: BrokerProcess, topic: str
) -> None:
    """The member before may hold them still, frozen; when it is gone, they are sent."""
    die(desk, 0, 0)
    heir = two[1]
    with desk.engine.connect() as frozen:
        frozen.execute(text("SELECT * FROM dead_letters FOR UPDATE"))
        assert heir.publish(PARTITIONS) == 0
    eventually(lambda: heir.publish(PARTITIONS), lambda marked: marked == 1, 10, "the row is sent")
    assert heir.publish(PARTITIONS) == 0
    assert sent(broker, topic) == 1
