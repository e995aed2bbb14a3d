"""The group of a query is at its last positions, whatever overtakes what on the way."""

from __future__ import annotations

import itertools

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streamguard_ksql.runtime import clients
from streamguard_ksql.runtime.clients import KafkaTopics
from streamguard_ksql.runtime.group_offsets import RETRY_S, GroupOffsets
from tests.support.engine import RunningEngine, create_topic, produce
from tests.support.processes import eventually

pytestmark = pytest.mark.integration
TOPIC = "grouped"
numbers = itertools.count()


@pytest.fixture
def group() -> str:
    return f"group-{next(numbers)}"


def at(client: Consumer) -> int:
    [found] = client.committed([TopicPartition(TOPIC, 0)], clients.TIMEOUT_S)
    return int(found.offset)


def settled(offsets: GroupOffsets, client: Consumer) -> bool:
    client.poll(0.01)
    offsets.go_on()
    return offsets._sent is None and offsets._wanted is None


def test_no_commit_overtakes_another_while_the_coordinator_is_looked_for(servers: str, group: str) -> None:
    create_topic(servers, TOPIC, 1)
    offsets = GroupOffsets(KafkaTopics(servers), group)
    client = offsets.connect()
    number = 0
    while number == 0 or offsets._sent is not None:
        number += 1
        offsets.store({TOPIC: {0: number}})
        client.poll(0)
    eventually(lambda: settled(offsets, client), bool, 30)
    assert at(client) == number
    client.close()


def test_the_end_of_a_query_waits_for_its_last_positions(servers: str, group: str) -> None:
    create_topic(servers, TOPIC, 1)
    offsets = GroupOffsets(KafkaTopics(servers), group)
    client = offsets.connect()
    offsets.store({TOPIC: {0: 1}})
    offsets.store({TOPIC: {0: 2}})
    offsets.finish()
    assert at(client) == 2
    offsets.store({TOPIC: {0: 3}})
    offsets.finish({TOPIC: {0: 4}})
    assert at(client) == 4
    offsets.disconnect()
    client.close()


def test_what_another_client_had_sent_is_sent_again(servers: str, group: str) -> None:
    create_topic(servers, TOPIC, 1)
    offsets = GroupOffsets(KafkaTopics(servers), group)
    first = offsets.connect()
    offsets.store({TOPIC: {0: 1}})
    second = offsets.connect()
    first.close()  # its answers come now, and are none to the second
    assert offsets._wanted == {TOPIC: {0: 1}}
    eventually(lambda: settled(offsets, second), bool, 30)
    assert at(second) == 1
    offsets.store({TOPIC: {0: 2}})
    eventually(lambda: settled(offsets, second), bool, 30)
    assert at(second) == 2
    second.close()


class Refusing:
    """A client whose commits Kafka refuses."""

    sent = 0

    def commit(self, **_: object) -> None:
        self.sent += 1
        raise KafkaException(KafkaError(KafkaError.REBALANCE_IN_PROGRESS))


def test_a_commit_that_fails_is_repeated_but_not_at_once() -> None:
    now = [0.0]
    offsets = GroupOffsets(KafkaTopics("127.0.0.1:1"), "g", clock=lambda: now[0])
    client = Refusing()
    offsets._client = client  # type: ignore[assignment]
    offsets.store({TOPIC: {0: 1}})
    offsets.store({TOPIC: {0: 2}})
    assert client.sent == 1
    now[0] = RETRY_S
    offsets.go_on()
    assert client.sent == 2
    assert offsets._wanted == {TOPIC: {0: 2}}


def test_a_query_that_is_never_idle_commits_all_the_same(servers: str) -> None:
    """Records keep coming: the group follows all the same, and is at the end once they have ended."""
    create_topic(servers, TOPIC, 1)
    engine = RunningEngine(servers)
    try:
        engine.sql(f"CREATE STREAM s (k VARCHAR KEY, v BIGINT) WITH (KAFKA_TOPIC='{TOPIC}', VALUE_FORMAT='JSON');")
        [copy] = engine.sql("CREATE STREAM o AS SELECT * FROM s;")
        assert copy.outcome.query is not None
        runner = engine.runtime._runners[copy.outcome.query.query_id]
        watched, sent = clients.consumer(servers, runner.group), 0

        def stored_while_they_come() -> int:
            nonlocal sent
            produce(servers, TOPIC, [("k", {"V": sent})])
            sent += 1
            return at(watched)

        eventually(stored_while_they_come, lambda offset: offset > 0, 30)
        eventually(lambda: at(watched), lambda offset: offset == sent, 30)
        watched.close()
    finally:
        engine.close()
