"""Groups of the consumer protocol (KIP-848), on this broker and (marker `kafka`) on Apache Kafka: real clients, and the
answers to single heartbeats."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    ConsumerGroupType,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
)
from confluent_kafka import TopicPartition as Tp
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic  # type: ignore[attr-defined]  # re-exported without __all__
from kafka.protocol.admin import DescribeGroupsRequest, DescribeGroupsResponse, ListGroupsRequest, ListGroupsResponse
from kafka.protocol.consumer import (
    HeartbeatRequest,
    HeartbeatResponse,
    LeaveGroupRequest,
    LeaveGroupResponse,
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetFetchRequest,
    OffsetFetchResponse,
)
from kafka.protocol.metadata import ApiVersionsRequest, ApiVersionsResponse

from streamguard_broker.errors import ErrorCode
from tests.support.heartbeats import HeartbeatGroup, read
from tests.support.wire import WireClient

SECONDS = 60.0
"""Until an assertion about what becomes true gives up."""


@pytest.fixture
def admin(cluster: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": cluster, "log_level": 0})


@pytest.fixture
def made(cluster: str, admin: AdminClient, topic: str) -> str:
    """A topic of four partitions with a record in each; its group is of the same name."""
    admin.create_topics([NewTopic(topic, 4, 1)])[topic].result(20)
    producer = Producer({"bootstrap.servers": cluster})
    for partition in range(4):
        producer.produce(topic, b"%d" % partition, partition=partition)
    assert producer.flush(20) == 0
    return topic


def consumer(cluster: str, group: str, protocol: str = "consumer", **configs: Any) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": cluster,
            "group.id": group,
            "group.protocol": protocol,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "topic.metadata.refresh.interval.ms": 500,
            "log_level": 0,
            **{name.replace("_", "."): value for name, value in configs.items()},
        }
    )


def poll_until(holds: Callable[[], bool], *consumers: Consumer) -> list[Message]:
    """Poll the consumers in turn until the condition holds; the messages that came."""
    got: list[Message] = []
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, [c.assignment() for c in consumers]
        for reader in consumers:
            got += [m for m in reader.consume(100, 0.05) if m.error() is None]
    return got


def held(reader: Consumer) -> list[int]:
    return sorted(p.partition for p in reader.assignment())


def take(reader: Consumer, count: int) -> list[bytes]:
    got: list[Message] = []
    deadline = time.monotonic() + SECONDS
    while len(got) < count:
        assert time.monotonic() < deadline, got
        got += [m for m in reader.consume(count - len(got), 0.2) if m.error() is None]
    return sorted(m.value() or b"" for m in got)


# Clients


@pytest.mark.parametrize("assignor", ["uniform", "range"])
def test_partitions_move_as_members_come_and_go(cluster: str, made: str, assignor: str) -> None:
    members = [consumer(cluster, made, group_remote_assignor=assignor) for _ in range(3)]
    members[0].subscribe([made])
    assert take(members[0], 4) == [b"0", b"1", b"2", b"3"]
    for member in members[1:]:
        member.subscribe([made])

    def balanced(living: list[Consumer]) -> bool:
        partitions = [held(member) for member in living]
        fair = max(map(len, partitions)) - min(map(len, partitions)) <= 1
        return sorted(p for some in partitions for p in some) == [0, 1, 2, 3] and fair

    while members:
        poll_until(lambda: balanced(members), *members)
        members.pop().close()


def test_offsets_are_committed_and_the_next_member_continues(cluster: str, admin: AdminClient, made: str) -> None:
    first = consumer(cluster, made)
    first.subscribe([made])
    take(first, 4)
    first.commit(asynchronous=False)
    first.close()
    second = consumer(cluster, made)
    second.subscribe([made])
    producer = Producer({"bootstrap.servers": cluster})
    producer.produce(made, b"later", partition=2)
    assert producer.flush(20) == 0
    assert take(second, 1) == [b"later"]
    assert [p.offset for p in second.committed([Tp(made, p) for p in range(4)], 20)] == [1, 1, 1, 1]
    second.close()
    admin.delete_consumer_groups([made])[made].result(20)


def test_tools_see_the_group(cluster: str, admin: AdminClient, made: str) -> None:
    reader = consumer(cluster, made, group_instance_id="one")
    reader.subscribe([made])
    take(reader, 4)
    described = admin.describe_consumer_groups([made])[made].result(20)
    assert (described.state, described.type) == (ConsumerGroupState.STABLE, ConsumerGroupType.CONSUMER)
    (member,) = described.members
    assert member.group_instance_id == "one"
    assert sorted(p.partition for p in member.assignment.topic_partitions) == [0, 1, 2, 3]
    listed = admin.list_consumer_groups(types={ConsumerGroupType.CONSUMER}).result(20)
    assert made in [group.group_id for group in listed.valid]
    listed = admin.list_consumer_groups(types={ConsumerGroupType.CLASSIC}).result(20)
    assert made not in [group.group_id for group in listed.valid]
    with pytest.raises(KafkaException):
        admin.delete_consumer_groups([made])[made].result(20)
    reader.close()


def test_a_static_member_keeps_its_partitions_while_it_is_away(cluster: str, made: str) -> None:
    first, other = consumer(cluster, made, group_instance_id="one"), consumer(cluster, made)
    for member in (first, other):
        member.subscribe([made])
    poll_until(lambda: len(held(first)) == 2 == len(held(other)), first, other)
    its, others = held(first), held(other)
    first.close()
    again = consumer(cluster, made, group_instance_id="one")
    again.subscribe([made])
    poll_until(lambda: held(again) == its, again, other)
    assert held(other) == others
    again.close()
    other.close()


def test_a_pattern_takes_the_topics_that_match(cluster: str, admin: AdminClient, made: str) -> None:
    for name in (f"{made}-x", f"x-{made}"):
        admin.create_topics([NewTopic(name, 1, 1)])[name].result(20)
    reader = consumer(cluster, made)
    reader.subscribe([f"^{made}.*"])
    poll_until(lambda: len(reader.assignment()) == 5, reader)
    assert {p.topic for p in reader.assignment()} == {made, f"{made}-x"}
    reader.close()


def test_a_topic_that_grows_is_assigned(cluster: str, admin: AdminClient, made: str) -> None:
    reader = consumer(cluster, made)
    reader.subscribe([made])
    take(reader, 4)
    admin.create_partitions([NewPartitions(made, 6)])[made].result(20)
    poll_until(lambda: held(reader) == [0, 1, 2, 3, 4, 5], reader)
    reader.close()


@pytest.mark.parametrize(("old", "new"), [("classic", "consumer"), ("consumer", "classic")])
def test_an_empty_group_changes_its_protocol_and_keeps_its_offsets(cluster: str, made: str, old: str, new: str) -> None:
    first = consumer(cluster, made, old)
    first.subscribe([made])
    take(first, 4)
    first.commit(asynchronous=False)
    first.close()
    second = consumer(cluster, made, new)
    second.subscribe([made])
    poll_until(lambda: len(held(second)) == 4, second)
    producer = Producer({"bootstrap.servers": cluster})
    producer.produce(made, b"later", partition=0)
    assert producer.flush(20) == 0
    assert take(second, 1) == [b"later"], "nothing is read twice"
    second.close()


def test_offsets_are_sent_in_a_transaction(cluster: str, made: str) -> None:
    reader = consumer(cluster, made)
    reader.subscribe([made])
    take(reader, 4)
    producer = Producer({"bootstrap.servers": cluster, "transactional.id": made, "log_level": 0})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.send_offsets_to_transaction(reader.position(reader.assignment()), reader.consumer_group_metadata(), 30)
    producer.commit_transaction(30)
    assert [p.offset for p in reader.committed([Tp(made, p) for p in range(4)], 20)] == [1, 1, 1, 1]
    reader.close()


# Single requests


@pytest.fixture
def group(cluster: str, admin: AdminClient, made: str) -> Iterator[HeartbeatGroup]:
    described = admin.describe_topics(TopicCollection([made]))[made].result(20)
    topic_id = uuid.UUID(bytes=_uuid_bytes(described.topic_id))
    found = HeartbeatGroup(cluster, topic_id, made)
    yield found
    found.wire.close()


def _uuid_bytes(found: Any) -> bytes:
    mask = 2**64 - 1
    high, low = found.get_most_significant_bits() & mask, found.get_least_significant_bits() & mask
    return int(high << 64 | low).to_bytes(16, "big")


def test_the_protocol_is_a_finalized_feature(cluster: str) -> None:
    request = ApiVersionsRequest(client_software_name="test", client_software_version="1")
    with WireClient(cluster) as wire:
        answer = wire.ask(request, ApiVersionsResponse, version=4)
    finalized = {feature.name: feature.max_version_level for feature in answer.finalized_features}
    supported = {feature.name: (feature.min_version, feature.max_version) for feature in answer.supported_features}
    assert (finalized["group.version"], supported["group.version"]) == (1, (0, 1))
    assert answer.finalized_features_epoch >= 0
    versions = {api.api_key: (api.min_version, api.max_version) for api in answer.api_keys}
    assert versions[68] == versions[69] == (0, 1)


def test_partitions_are_given_up_before_they_are_given_away(group: HeartbeatGroup) -> None:
    assert read(group.join("a")) == (1, [0, 1, 2, 3])
    assert group.ok("a", 1, owned=[0, 1, 2, 3]) == (1, None)
    assert read(group.join("b")) == (2, [])
    assert group.ok("a", 1, owned=[0, 1, 2, 3]) == (1, [0, 1])
    assert group.describe().group_state == "Reconciling"
    assert group.ok("b", 2) == (2, None)
    assert group.ok("a", 1) == (1, None)
    assert group.ok("a", 1, owned=[0, 1]) == (2, None)
    assert group.ok("b", 2) == (2, [2, 3])
    described = group.describe()
    assert (described.group_state, described.group_epoch, described.assignment_epoch) == ("Stable", 2, 2)
    assert described.assignor_name == "uniform"
    shown = {m.member_id: [list(t.partitions) for t in m.assignment.topic_partitions] for m in described.members}
    assert shown == {"a": [[0, 1]], "b": [[2, 3]]}
    assert group.ok("b", -1) == (-1, None)
    assert group.describe().group_state == "Assigning"
    assert group.ok("a", 2) == (3, [0, 1, 2, 3])
    assert group.ok("a", -1) == (-1, None)
    assert group.describe().group_state == "Empty"


def test_requests_that_make_no_sense_are_rejected(group: HeartbeatGroup) -> None:
    invalid = ErrorCode.INVALID_REQUEST
    named: dict[str, Any] = {"rebalance_timeout_ms": 30_000, "subscribed_topic_names": [group.topic], "owned": []}
    assert group.code("a", 1, owned=[]) is ErrorCode.GROUP_ID_NOT_FOUND
    assert group.code("a", 0, rebalance_timeout_ms=30_000, owned=[]) is invalid
    assert group.code("a", 0, subscribed_topic_names=[group.topic], owned=[]) is invalid
    assert group.code("a", 0, **(named | {"owned": None})) is invalid
    assert group.code("a", 0, **(named | {"owned": [0]})) is invalid
    assert group.code("", 0, **named) is invalid
    assert group.code("a", -3, **named) is invalid
    for field in ("instance_id", "rack_id"):
        assert group.code("a", 0, **named, **{field: ""}) is invalid
    for assignor in ("no-such", ""):
        assert group.code("a", 0, **named, server_assignor=assignor) is ErrorCode.UNSUPPORTED_ASSIGNOR
    for pattern in ("(", r"(a)\1", "(?=a)b", "a++"):
        fields: dict[str, Any] = {"rebalance_timeout_ms": 30_000, "subscribed_topic_regex": pattern, "owned": []}
        assert group.code("a", 0, **fields) is ErrorCode.INVALID_REGULAR_EXPRESSION, pattern
    assert read(group.join("a", version=0))[0] == 1
    assert len(group.join("", version=0).member_id) > 10, "version 0 makes the id"
    assert group.code("nobody", 1) is ErrorCode.UNKNOWN_MEMBER_ID
    assert group.code("nobody", -1) is ErrorCode.UNKNOWN_MEMBER_ID


def test_members_of_another_epoch_are_fenced(group: HeartbeatGroup) -> None:
    group.join("a")
    group.join("b")
    assert group.code("b", 1) is ErrorCode.FENCED_MEMBER_EPOCH
    assert group.code("b", 5) is ErrorCode.FENCED_MEMBER_EPOCH
    assert read(group.join("b"))[0] == 2


def test_static_members(group: HeartbeatGroup) -> None:
    assert read(group.join("s1", instance_id="i"))[0] == 1
    assert ErrorCode(group.join("s2", instance_id="i").error_code) is ErrorCode.UNRELEASED_INSTANCE_ID
    assert group.ok("s1", 1, instance_id="i") == (1, None)
    assert group.code("s1", 1, instance_id="other") is ErrorCode.UNKNOWN_MEMBER_ID
    assert group.code("s9", 1, instance_id="i") is ErrorCode.FENCED_INSTANCE_ID
    assert group.code("s1", -2) is ErrorCode.INVALID_REQUEST
    assert group.ok("s1", -2, instance_id="i") == (-2, None)
    assert group.code("s1", 1, instance_id="i") is ErrorCode.FENCED_MEMBER_EPOCH
    assert read(group.join("s2", instance_id="i")) == (1, [0, 1, 2, 3])
    assert group.code("s1", 1, instance_id="i") is ErrorCode.FENCED_INSTANCE_ID
    assert group.ok("s2", -1, instance_id="i") == (-1, None)


def test_range_begins_with_static_members(group: HeartbeatGroup) -> None:
    group.join("a", server_assignor="range")
    assert read(group.join("b", server_assignor="range", instance_id="z")) == (2, [])
    assert group.ok("a", 1, owned=[0, 1, 2, 3]) == (1, [2, 3])
    assert group.describe().assignor_name == "range"


def test_other_group_requests_know_the_protocol(group: HeartbeatGroup) -> None:
    group.join("a")
    wire, name = group.wire, group.name
    described = wire.ask(DescribeGroupsRequest(groups=[name]), DescribeGroupsResponse, version=6).groups[0]
    assert (ErrorCode(described.error_code), described.group_state) == (ErrorCode.GROUP_ID_NOT_FOUND, "Dead")
    for types, states, shown in (
        ([], [], True), (["Consumer"], ["stable"], True), (["classic"], [], False), ([], ["Empty"], False),
    ):  # fmt: skip
        request = ListGroupsRequest(states_filter=states, types_filter=types)
        listed = {g.group_id: g for g in wire.ask(request, ListGroupsResponse, version=5).groups}
        assert (name in listed) == shown
        if shown:
            found = listed[name]
            assert (found.protocol_type, found.group_state, found.group_type) == ("consumer", "Stable", "consumer")
    beat = HeartbeatRequest(group_id=name, generation_id=1, member_id="a")
    assert ErrorCode(wire.ask(beat, HeartbeatResponse, version=3).error_code) is ErrorCode.UNKNOWN_MEMBER_ID
    removed = LeaveGroupRequest(group_id=name, members=[LeaveGroupRequest.MemberIdentity(member_id="a")])
    assert wire.ask(removed, LeaveGroupResponse, version=5).members[0].error_code == 0
    assert group.describe().group_state == "Empty"


def test_offsets_are_committed_and_read_in_the_members_epoch(group: HeartbeatGroup) -> None:
    group.join("a")
    topic_class = OffsetCommitRequest.OffsetCommitRequestTopic

    def commit(member: str, epoch: int, version: int = 9, name: str = group.name) -> ErrorCode:
        partition = topic_class.OffsetCommitRequestPartition(
            partition_index=0, committed_offset=1, committed_leader_epoch=-1, committed_metadata=""
        )
        request = OffsetCommitRequest(
            group_id=name, generation_id_or_member_epoch=epoch, member_id=member, group_instance_id=None,
            topics=[topic_class(name=group.topic, partitions=[partition])],
        )  # fmt: skip
        answer = group.wire.ask(request, OffsetCommitResponse, version=version)
        return ErrorCode(answer.topics[0].partitions[0].error_code)

    assert commit("a", 1) is ErrorCode.NONE
    assert commit("a", 0) is commit("a", 2) is commit("a", -1) is ErrorCode.STALE_MEMBER_EPOCH
    assert commit("x", 1) is commit("", -1) is ErrorCode.UNKNOWN_MEMBER_ID
    assert commit("a", 1, version=8) is ErrorCode.UNSUPPORTED_VERSION
    assert commit("x", 1, version=8) is ErrorCode.UNKNOWN_MEMBER_ID
    assert commit("a", 1, name=f"{group.name}-x") is ErrorCode.GROUP_ID_NOT_FOUND

    def fetch(member: str | None, epoch: int, version: int = 9) -> tuple[ErrorCode, list[int]]:
        asked = OffsetFetchRequest.OffsetFetchRequestGroup(
            group_id=group.name, member_id=member, member_epoch=epoch, topics=None
        )
        request = OffsetFetchRequest(groups=[asked], require_stable=False)
        answer = group.wire.ask(request, OffsetFetchResponse, version=version).groups[0]
        return ErrorCode(answer.error_code), [p.committed_offset for t in answer.topics for p in t.partitions]

    assert fetch("a", 1) == fetch(None, -1) == fetch("a", 2, version=8) == (ErrorCode.NONE, [1])
    assert fetch("a", 0) == fetch("a", -1) == (ErrorCode.STALE_MEMBER_EPOCH, [])
    assert fetch("x", 1) == fetch("", -1) == (ErrorCode.UNKNOWN_MEMBER_ID, [])

    deleted = OffsetDeleteRequest.OffsetDeleteRequestTopic
    request = OffsetDeleteRequest(
        group_id=group.name,
        topics=[
            deleted(name=group.topic, partitions=[deleted.OffsetDeleteRequestPartition(partition_index=0)]),
        ],
    )
    found = group.wire.ask(request, OffsetDeleteResponse, version=0).topics[0].partitions[0]
    assert ErrorCode(found.error_code) is ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC
    group.ok("a", 1, subscribed_topic_names=[])
    found = group.wire.ask(request, OffsetDeleteResponse, version=0).topics[0].partitions[0]
    assert found.error_code == 0
