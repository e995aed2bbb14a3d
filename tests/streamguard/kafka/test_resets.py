"""A reset of a group is shown before it is done, is refused while the group has members, and moves what was shown."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

from streamguard.kafka.overview import groups_of, overview
from streamguard.kafka.resets import Move, ResetRefused, apply_reset, plan_reset, target_of
from tests.support.broker import BrokerProcess
from tests.support.topics import group_member


@pytest.fixture
def admin(broker: BrokerProcess, topic: str) -> Iterator[KafkaAdminClient]:
    """Ten records in each of two partitions, at the seconds 0 to 9; the group has read 4 of one."""
    client = KafkaAdminClient(bootstrap_servers=broker.address)
    client.create_topics({topic: {"num_partitions": 2, "replication_factor": 1}})
    producer = KafkaProducer(bootstrap_servers=broker.address)
    for n in range(20):
        producer.send(topic, b"v", partition=n % 2, timestamp_ms=1_000 * (n // 2))
    producer.flush()
    producer.close()
    client.alter_group_offsets(f"g-{topic}", {TopicPartition(topic, 0): OffsetAndMetadata(4, "", -1)})
    yield client
    client.close()


@pytest.mark.parametrize(
    ("words", "after"),
    [
        ("earliest", (0, 0)),
        ("latest", (10, 10)),
        ("7", (7, 7)),
        ("99", (10, 10)),
        ("@2500", (3, 3)),
        ("@99000", (10, 10)),
    ],
)
def test_what_is_shown_is_done(admin: KafkaAdminClient, topic: str, words: str, after: tuple[int, int]) -> None:
    group = f"g-{topic}"
    moves = plan_reset(admin, group, topic, target_of(words))
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    assert moves == [Move(first, 4, after[0]), Move(second, None, after[1])]
    assert moves[0].records == after[0] - 4 and moves[1].records is None
    assert [lag.committed for lag in groups_of(admin, [group])[0].lags] == [4], "nothing has moved yet"
    apply_reset(admin, group, moves)
    assert [lag.committed for lag in groups_of(admin, [group])[0].lags] == list(after)


def test_one_partition_moves_alone(admin: KafkaAdminClient, topic: str) -> None:
    assert plan_reset(admin, f"g-{topic}", topic, target_of("earliest"), [0]) == [Move(TopicPartition(topic, 0), 4, 0)]
    with pytest.raises(ResetRefused, match="has no partition 5"):
        plan_reset(admin, f"g-{topic}", topic, target_of("earliest"), [5])


def test_a_group_that_moved_since_it_was_shown_is_left_alone(admin: KafkaAdminClient, topic: str) -> None:
    group, first = f"g-{topic}", TopicPartition(topic, 0)
    moves = plan_reset(admin, group, topic, target_of("earliest"))
    admin.alter_group_offsets(group, {first: OffsetAndMetadata(6, "", -1)})
    with pytest.raises(ResetRefused, match="is at 6 now, not at 4"):
        apply_reset(admin, group, moves)


def test_a_group_with_members_is_refused(admin: KafkaAdminClient, topic: str, broker: BrokerProcess) -> None:
    group = f"g-{topic}"
    moves = plan_reset(admin, group, topic, target_of("earliest"))
    with group_member(broker.address, topic, group):
        with pytest.raises(ResetRefused, match="1 members: stop them first"):
            plan_reset(admin, group, topic, target_of("earliest"))
        with pytest.raises(ResetRefused, match="1 members: stop them first"):
            apply_reset(admin, group, moves)
        [found] = groups_of(admin, [group])
        assert [member.partitions for member in found.members] == [[TopicPartition(topic, 0), TopicPartition(topic, 1)]]
        assert found.member_of(TopicPartition(topic, 1)) == found.members[0]


@pytest.mark.parametrize("words", ["", "middle", "-1", "@", "@now", "1" * 30])
def test_a_target_that_cannot_be_read_is_a_sentence(words: str) -> None:
    with pytest.raises(ResetRefused, match="nothing to reset to"):
        target_of(words)


def test_what_is_not_there_is_a_sentence(admin: KafkaAdminClient, topic: str) -> None:
    with pytest.raises(ResetRefused, match="there is no group nobody"):
        plan_reset(admin, "nobody", topic, target_of("earliest"))
    with pytest.raises(ResetRefused, match="there is no topic nothing"):
        plan_reset(admin, f"g-{topic}", "nothing", target_of("earliest"))


def test_the_overview_has_topics_with_their_groups(admin: KafkaAdminClient, topic: str) -> None:
    seen = overview(admin)
    [found] = [facts for facts in seen.topics if facts.name == topic]
    assert (found.records, found.end, len(found.partitions), found.is_internal) == (20, 20, 2, False)
    assert found.groups == {f"g-{topic}": 6} and found.size_bytes
    assert found.configs["cleanup.policy"] == "delete"
    [group] = [facts for facts in seen.groups if facts.name == f"g-{topic}"]
    assert (group.lag, group.topics, group.members) == (6, [topic], [])


def test_offsets_of_a_deleted_topic_are_left_out(admin: KafkaAdminClient, topic: str) -> None:
    admin.delete_topics([topic])
    assert all(group.lags == [] for group in overview(admin).groups if group.name == f"g-{topic}")
