"""The state machine of a group of the consumer protocol (KIP-848): no sockets, time is passed in."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.groups.assignors import Partition, TopicInfo
from streamguard_broker.groups.consumer_formats import encode_consumer_group, restore_consumer_group
from streamguard_broker.groups.consumer_group import ConsumerGroup, ConsumerGroupState, HeartbeatResult
from streamguard_broker.groups.consumer_member import HeartbeatCall

SESSION_MS = 45_000
REBALANCE_MS = 5_000
A, B = uuid.UUID(int=1), uuid.UUID(int=2)


class Topics:
    """The topics that exist."""

    def __init__(self, **counts: int) -> None:
        self.known = {name: TopicInfo({"a": A, "b": B}[name], count) for name, count in counts.items()}

    def topic(self, name: str) -> TopicInfo | None:
        return self.known.get(name)

    def matching(self, pattern: str) -> frozenset[str]:
        return frozenset(name for name in self.known if re.fullmatch(pattern, name))


@dataclass
class Client:
    """A member as a client sees it.

    owned      what it reads
    target     what it was last told to read
    unheard    a response was lost: the next heartbeat says everything
    """

    member_id: str
    instance_id: str | None = None
    topics: frozenset[str] = frozenset("a")
    epoch: int = 0
    owned: frozenset[Partition] = frozenset()
    target: frozenset[Partition] = frozenset()
    unheard: bool = False
    errors: list[ErrorCode] = field(default_factory=list)

    def beat(self, group: ConsumerGroup, topics: Topics, now_ms: int, **more: Any) -> HeartbeatResult | None:
        """One heartbeat, of a joining member in full. A fenced client gives up everything and joins anew next time."""
        fields: dict[str, Any] = {"instance_id": self.instance_id, "owned": self.owned}
        if self.epoch == 0 or self.unheard:
            fields |= {"topics": self.topics, "rebalance_timeout_ms": REBALANCE_MS}
        try:
            result = group.heartbeat(
                HeartbeatCall(self.member_id, self.epoch, "c", "/h", **(fields | more)), topics, now_ms
            )
        except KafkaError as error:
            self.errors.append(error.code)
            self.restart()
            return None
        self.epoch, self.unheard = result.epoch, False
        if result.assignment is not None:
            self.target = result.assignment
        return result

    def restart(self) -> None:
        """Give up everything; join again with the next heartbeat."""
        self.epoch, self.owned, self.target, self.unheard = 0, frozenset(), frozenset(), False

    def settle(self) -> None:
        """Give up what the target no longer has, take what it has."""
        self.owned = self.target

    def round(self, group: ConsumerGroup, topics: Topics, now_ms: int = 0) -> None:
        self.beat(group, topics, now_ms)
        self.settle()


def partitions(count: int, topic: uuid.UUID = A) -> frozenset[Partition]:
    return frozenset((topic, index) for index in range(count))


def settled(*clients: Client, topics: Topics | None = None) -> tuple[ConsumerGroup, Topics]:
    """A stable group of these clients."""
    group, topics = ConsumerGroup("g"), topics or Topics(a=4)
    for _ in range(4):
        for client in clients:
            client.round(group, topics)
    assert group.state.value == "Stable"
    return group, topics


def test_the_first_member_gets_everything_at_once() -> None:
    group, client = ConsumerGroup("g"), Client("m")
    result = client.beat(group, Topics(a=4), 0)
    assert result == HeartbeatResult("m", 1, partitions(4))
    assert group.state is ConsumerGroupState.STABLE
    assert client.beat(group, Topics(a=4), 1, owned=None) == HeartbeatResult("m", 1, None), "nothing has changed"


def test_a_partition_moves_when_its_owner_has_reported_that_it_gave_it_up() -> None:
    first, second = Client("m1"), Client("m2")
    group, topics = settled(first)
    assert second.beat(group, topics, 1) == HeartbeatResult("m2", 2, frozenset())
    assert group.state is ConsumerGroupState.RECONCILING
    assert first.beat(group, topics, 2) == HeartbeatResult("m1", 1, partitions(2)), "the epoch stays while it revokes"
    assert second.beat(group, topics, 3) == HeartbeatResult("m2", 2, None)
    assert first.beat(group, topics, 4, owned=None) == HeartbeatResult("m1", 1, None), "it says nothing of what it has"
    first.settle()
    assert first.beat(group, topics, 5) == HeartbeatResult("m1", 2, None)
    assert second.beat(group, topics, 6) == HeartbeatResult("m2", 2, partitions(4) - partitions(2))
    assert group.state.value == "Stable"


def test_partitions_of_a_member_that_leaves_go_to_the_others() -> None:
    first, second = Client("m1"), Client("m2")
    group, topics = settled(first, second)
    assert second.beat(group, topics, 1, owned=None) is not None
    second.epoch = -1
    assert second.beat(group, topics, 2) == HeartbeatResult("m2", -1, None)
    assert group.state is ConsumerGroupState.ASSIGNING
    assert first.beat(group, topics, 3) == HeartbeatResult("m1", 3, partitions(4))


@pytest.mark.parametrize(("epoch", "owned"), [(1, None), (1, partitions(4)), (3, frozenset()), (77, None)])
def test_a_member_of_another_epoch_is_fenced(epoch: int, owned: frozenset[Partition] | None) -> None:
    first, second = Client("m1"), Client("m2")
    group, topics = settled(first, second)
    first.epoch = epoch
    assert first.beat(group, topics, 1, owned=owned) is None
    assert first.errors == [ErrorCode.FENCED_MEMBER_EPOCH]
    first.round(group, topics)
    assert (first.epoch, len(first.owned)) == (2, 2), "it joins again under its id"


def test_a_member_that_missed_the_response_with_its_new_epoch_goes_on() -> None:
    first, second = Client("m1"), Client("m2")
    group, topics = settled(first, second)
    first.epoch = 1
    assert first.beat(group, topics, 1) == HeartbeatResult("m1", 2, None)


def test_an_unknown_member_is_told_so() -> None:
    group, topics = settled(Client("m1"))
    stranger = Client("x", epoch=1)
    stranger.beat(group, topics, 1)
    assert stranger.errors == [ErrorCode.UNKNOWN_MEMBER_ID]


def test_the_largest_group_takes_no_more_members() -> None:
    group, topics = ConsumerGroup("g", max_members=1), Topics(a=1)
    Client("m1").beat(group, topics, 0)
    second = Client("m2")
    second.beat(group, topics, 0)
    assert second.errors == [ErrorCode.GROUP_MAX_SIZE_REACHED]


def test_a_silent_member_is_removed_after_the_session_timeout() -> None:
    first, second = Client("m1"), Client("m2")
    group, topics = settled(first, second)
    first.beat(group, topics, SESSION_MS - 1)
    assert group.expire(SESSION_MS) == ["m2"]
    assert first.beat(group, topics, SESSION_MS) == HeartbeatResult("m1", 3, partitions(4))
    second.beat(group, topics, SESSION_MS)
    assert second.errors == [ErrorCode.UNKNOWN_MEMBER_ID]


def test_a_member_that_does_not_revoke_in_time_is_removed() -> None:
    first, second = Client("m1"), Client("m2")
    group, topics = settled(first)
    second.beat(group, topics, 1)
    first.beat(group, topics, 2)
    assert first.beat(group, topics, 3) is not None, "it still has them, and sends heartbeats"
    assert group.expire(REBALANCE_MS + 1) == []
    assert group.expire(REBALANCE_MS + 2) == ["m1"]
    assert second.beat(group, topics, REBALANCE_MS + 3) == HeartbeatResult("m2", 3, partitions(4))


def test_a_static_member_comes_back_to_its_partitions() -> None:
    first, other = Client("m1", "one"), Client("m2")
    group, topics = settled(first, other)
    first.epoch = -2
    assert first.beat(group, topics, 1) == HeartbeatResult("m1", -2, None)
    assert other.beat(group, topics, 2) == HeartbeatResult("m2", 2, None), "nothing moves meanwhile"
    again = Client("m3", "one")
    assert again.beat(group, topics, 3) == HeartbeatResult("m3", 2, first.owned)
    assert group.state is ConsumerGroupState.STABLE
    first.epoch = 2
    first.beat(group, topics, 4)
    assert first.errors == [ErrorCode.FENCED_INSTANCE_ID]


def test_a_static_member_that_does_not_come_back_loses_its_partitions() -> None:
    first, other = Client("m1", "one"), Client("m2")
    group, topics = settled(first, other)
    first.epoch = -2
    first.beat(group, topics, 1)
    other.beat(group, topics, SESSION_MS - 1)
    assert group.expire(SESSION_MS + 1) == ["m1"]
    assert other.beat(group, topics, SESSION_MS + 2) == HeartbeatResult("m2", 3, partitions(4))
    assert not group.static


def test_an_instance_id_in_use_is_not_given_twice() -> None:
    group, topics = settled(Client("m1", "one"))
    second = Client("m2", "one")
    second.beat(group, topics, 1)
    assert second.errors == [ErrorCode.UNRELEASED_INSTANCE_ID] and set(group.members) == {"m1"}


def test_a_topic_that_grows_or_comes_is_assigned_at_the_next_heartbeat() -> None:
    client = Client("m", topics=frozenset("ab"))
    group, topics = settled(client)
    topics.known["a"] = TopicInfo(A, 5)
    topics.known["b"] = TopicInfo(B, 1)
    client.round(group, topics)
    assert client.owned == partitions(5) | partitions(1, B)
    del topics.known["a"]
    client.round(group, topics)
    assert client.owned == partitions(1, B)


def test_a_pattern_subscribes_to_what_it_matches_now_and_later() -> None:
    group, topics, client = ConsumerGroup("g"), Topics(a=2), Client("m", topics=frozenset())
    client.beat(group, topics, 0, pattern="[ab]")
    client.settle()
    assert client.owned == partitions(2)
    topics.known["b"] = TopicInfo(B, 1)
    client.round(group, topics)
    assert client.owned == partitions(2) | partitions(1, B)
    client.beat(group, topics, 0, pattern="")
    assert client.target == frozenset() and group.patterns == set()


def test_the_assignor_is_that_of_most_members() -> None:
    group, topics = ConsumerGroup("g"), Topics(a=4)
    for name, assignor in (("m1", "range"), ("m2", "range"), ("m3", "uniform"), ("m4", None)):
        Client(name).beat(group, topics, 0, assignor=assignor)
    assert group.assignor == "range"
    assert ConsumerGroup("g").assignor == "uniform"


def test_commits_and_fetches_name_the_epoch_of_the_member() -> None:
    client = Client("m")
    group, _ = settled(client)
    assert group.commit_error("m", None, 1, 0) is ErrorCode.NONE
    assert group.commit_error("m", None, 0, 0) is ErrorCode.STALE_MEMBER_EPOCH
    assert group.commit_error("x", None, 1, 0) is ErrorCode.UNKNOWN_MEMBER_ID
    assert group.commit_error("", None, -1, 0) is ErrorCode.UNKNOWN_MEMBER_ID
    assert ConsumerGroup("g").commit_error("", None, -1, 0) is ErrorCode.NONE
    assert group.fetch_error(None, -1) is ErrorCode.NONE
    assert group.fetch_error("m", 2) is ErrorCode.STALE_MEMBER_EPOCH


def test_only_changes_are_stored_and_all_of_them() -> None:
    stored: list[bytes] = []
    group = ConsumerGroup("g", persist=lambda g: stored.append(encode_consumer_group(g)))
    topics, client = Topics(a=2), Client("m")
    client.beat(group, topics, 0)
    client.settle()
    assert len(stored) == 1 and stored[-1] == encode_consumer_group(group)
    client.beat(group, topics, 1)
    assert len(stored) == 1, "a heartbeat without news"
    client.epoch = -1
    client.beat(group, topics, 2)
    assert len(stored) == 2 and stored[-1] == encode_consumer_group(group)


class Consistent(RuleBasedStateMachine):
    """Clients come, go, lose responses and are slow; the broker restarts; topics grow. At no time do two clients own a
    partition, and once all send heartbeats for a while, each partition has exactly one owner."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 0
        self.topics = Topics(a=3)
        self.stored = b""
        self.group = self.new_group()
        self.clients: dict[str, Client] = {}
        self.counter = 0

    def new_group(self) -> ConsumerGroup:
        return ConsumerGroup("g", persist=self.store)

    def store(self, group: ConsumerGroup) -> None:
        self.stored = encode_consumer_group(group)

    def pick(self, data: st.DataObject) -> Client:
        return self.clients[data.draw(st.sampled_from(sorted(self.clients)))]

    @precondition(lambda self: len(self.clients) < 5)
    @rule(static=st.booleans(), names=st.sampled_from([frozenset("a"), frozenset("ab"), frozenset("b")]))
    def join(self, static: bool, names: frozenset[str]) -> None:
        self.counter += 1
        name = f"m{self.counter}"
        self.clients[name] = Client(name, f"i{self.counter}" if static else None, names)
        self.clients[name].beat(self.group, self.topics, self.now_ms)

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), silent=st.booleans())
    def heartbeat(self, data: st.DataObject, silent: bool) -> None:
        client = self.pick(data)
        client.beat(
            self.group,
            self.topics,
            self.now_ms,
            **({"owned": None} if silent and client.epoch and not client.unheard else {}),
        )

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def settle_one(self, data: st.DataObject) -> None:
        self.pick(data).settle()

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def lose_the_response(self, data: st.DataObject) -> None:
        """The broker takes the heartbeat, the client hears nothing, and says everything next time."""
        client = self.pick(data)
        before = (client.epoch, client.owned, client.target)
        if client.epoch and client.beat(self.group, self.topics, self.now_ms) is not None:
            client.epoch, client.owned, client.target = before
            client.unheard = True

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def restart_client(self, data: st.DataObject) -> None:
        """A client forgets everything and joins again, under its member id."""
        self.pick(data).restart()

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), for_now=st.booleans())
    def leave(self, data: st.DataObject, for_now: bool) -> None:
        client = self.pick(data)
        client.owned = client.target = frozenset()
        client.epoch = -2 if for_now and client.instance_id else -1
        client.beat(self.group, self.topics, self.now_ms, owned=None)
        del self.clients[client.member_id]
        if for_now and client.instance_id:
            self.counter += 1
            name = f"m{self.counter}"
            self.clients[name] = Client(name, client.instance_id, client.topics)

    @rule(name=st.sampled_from("ab"))
    def grow(self, name: str) -> None:
        found = self.topics.known.get(name, TopicInfo({"a": A, "b": B}[name], 0))
        self.topics.known[name] = TopicInfo(found.id, min(found.partitions + 1, 6))

    @rule()
    def restart_broker(self) -> None:
        if self.stored:
            group = self.new_group()
            restore_consumer_group(group, self.stored, self.now_ms, SESSION_MS)
            assert encode_consumer_group(group) == self.stored
            self.group = group

    @rule(ms=st.sampled_from([10, REBALANCE_MS, SESSION_MS]))
    def pass_time(self, ms: int) -> None:
        """Clients know the timeouts too: one that was not heard in time stops reading (KIP-848 asks it to)."""
        self.now_ms += ms
        for member_id in self.group.expire(self.now_ms):
            if member_id in self.clients:
                self.clients[member_id].restart()

    @invariant()
    def nothing_is_owned_twice(self) -> None:
        owned = [partition for client in self.clients.values() for partition in client.owned]
        assert len(owned) == len(set(owned))

    @invariant()
    def nothing_is_held_twice(self) -> None:
        held = [partition for member in self.group.members.values() for partition in member.held]
        assert len(held) == len(set(held))
        assert set(self.group.static.values()) == {m.member_id for m in self.group.members.values() if m.instance_id}

    def all_beat(self) -> None:
        for _ in range(6):
            for client in self.clients.values():
                client.round(self.group, self.topics, self.now_ms)

    def teardown(self) -> None:
        """All converge: who is still there sends heartbeats, who left for now and did not come back is removed."""
        self.all_beat()
        self.now_ms += SESSION_MS - 1
        self.all_beat()
        self.now_ms += 1
        self.group.expire(self.now_ms)
        self.all_beat()
        assert set(self.group.members) == set(self.clients)
        if not self.clients:
            return
        assert self.group.state is ConsumerGroupState.STABLE
        wanted = {
            (topic.id, index)
            for name, topic in self.topics.known.items()
            if any(name in client.topics for client in self.clients.values())
            for index in range(topic.partitions)
        }
        owned = [partition for client in self.clients.values() for partition in client.owned]
        assert len(owned) == len(wanted) and set(owned) == wanted


TestConsistent = Consistent.TestCase
TestConsistent.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
