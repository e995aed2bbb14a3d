"""The group state machine: no sockets, time is passed in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streamguard_broker.errors import ErrorCode
from streamguard_broker.groups.formats import encode_group, restore_group
from streamguard_broker.groups.group import Group
from streamguard_broker.groups.member import JoinCall, JoinResult, SyncResult
from streamguard_broker.groups.states import COMMIT, HEARTBEAT, TRANSITIONS, GroupState

SESSION_MS = 1000
REBALANCE_MS = 5000


@dataclass
class Client:
    """A member as a client sees it: its requests and the responses."""

    member_id: str = ""
    instance_id: str | None = None
    protocols: list[tuple[str, bytes]] = field(default_factory=lambda: [("range", b"m")])
    joins: list[JoinResult] = field(default_factory=list)
    syncs: list[SyncResult] = field(default_factory=list)

    def join(self, group: Group, now_ms: int, *, known: bool = False, kind: str = "consumer") -> JoinResult | None:
        """Join; the answer if it came at once."""
        before = len(self.joins)
        group.join(
            JoinCall(self.member_id, self.instance_id, "c", "/h", SESSION_MS, REBALANCE_MS, kind, self.protocols,
                     self.joined, requires_known_id=known),
            now_ms,
        )  # fmt: skip
        return self.joins[-1] if len(self.joins) > before else None

    def joined(self, result: JoinResult) -> None:
        self.joins.append(result)
        if result.member_id:
            self.member_id = result.member_id

    def sync(self, group: Group, now_ms: int, assignments: dict[str, bytes] | None = None) -> None:
        group.sync(self.member_id, self.instance_id, group.generation, assignments or {}, self.syncs.append, now_ms)


def stable(count: int = 2, **more: Any) -> tuple[Group, list[Client]]:
    """A stable group; the first client is the leader."""
    group = Group("g", **more)
    clients = [Client() for _ in range(count)]
    for client in clients:
        client.join(group, 0)
    for client in clients[:-1]:
        client.join(group, 0)
    assert group.state is GroupState.COMPLETING
    settle(group, clients, 0)
    return group, clients


def settle(group: Group, clients: list[Client], now_ms: int) -> None:
    for client in clients:
        client.sync(group, now_ms, {c.member_id: c.member_id.encode() for c in clients})
    assert group.state is GroupState.STABLE


def test_members_get_what_the_leader_assigned() -> None:
    _, clients = stable(3)
    assert [c.joins[-1].leader for c in clients] == [clients[0].member_id] * 3
    assert len(clients[0].joins[-1].members) == 3 and not clients[1].joins[-1].members
    assert [c.syncs[-1].assignment for c in clients] == [c.member_id.encode() for c in clients]


def test_a_new_member_gets_its_id_first() -> None:
    group = Group("g")
    client = Client()
    asked = client.join(group, 0, known=True)
    assert asked is not None and asked.error is ErrorCode.MEMBER_ID_REQUIRED
    assert group.heartbeat(client.member_id, None, 0, 0) is ErrorCode.NONE
    again = client.join(group, 0, known=True)
    assert again is not None and again.error is ErrorCode.NONE and again.generation == 1


def test_an_unused_member_id_expires() -> None:
    group = Group("g")
    Client().join(group, 0, known=True)
    group.expire(SESSION_MS + 1)
    assert not group.roster.pending


def test_a_rebalance_waits_for_members_and_removes_those_that_do_not_rejoin() -> None:
    group, (first, second) = stable(2)
    generation = group.generation
    third = Client()
    assert third.join(group, 10) is None
    assert group.heartbeat(first.member_id, None, group.generation, 20) is ErrorCode.REBALANCE_IN_PROGRESS
    assert first.join(group, 20) is None
    group.expire(500)
    assert group.state is GroupState.PREPARING
    group.expire(REBALANCE_MS + 11)
    assert group.generation == generation + 1
    assert set(group.members) == {first.member_id, third.member_id}
    assert second.member_id not in group.members


def test_a_member_whose_session_times_out_is_removed_and_the_others_rebalance() -> None:
    group, (first, second) = stable(2)
    group.heartbeat(first.member_id, None, 2, SESSION_MS - 1)
    assert group.expire(SESSION_MS) == [second.member_id]
    assert group.state is GroupState.PREPARING
    assert first.join(group, SESSION_MS) is not None
    assert first.joins[-1].leader == first.member_id


def test_the_last_to_leave_empties_the_group() -> None:
    stored: list[GroupState] = []
    group, clients = stable(2, persist=lambda g: stored.append(g.state))
    for client in clients:
        assert group.leave(client.member_id, None, 5) is ErrorCode.NONE
    assert group.state is GroupState.EMPTY
    assert stored[0] is GroupState.STABLE and stored[-1] is GroupState.EMPTY


def test_members_that_never_sync_are_removed() -> None:
    group = Group("g")
    client = Client()
    client.join(group, 0)
    for now in range(0, REBALANCE_MS + 1000, 500):
        group.heartbeat(client.member_id, None, 1, now)
        group.expire(now)
    assert group.state is GroupState.EMPTY


def test_a_static_member_comes_back_without_a_rebalance() -> None:
    group = Group("g")
    first = Client(instance_id="one")
    first.join(group, 0)
    settle(group, [first], 0)
    generation = group.generation
    again = Client(instance_id="one")
    result = again.join(group, 10)
    assert result is not None and result.generation == generation and result.skip_assignment
    assert again.member_id != first.member_id
    assert group.heartbeat(first.member_id, "one", generation, 20) is ErrorCode.FENCED_INSTANCE_ID
    again.sync(group, 20)
    assert again.syncs[-1].assignment == first.member_id.encode()


@pytest.mark.parametrize(
    ("kind", "protocols"),
    [("connect", [("range", b"")]), ("consumer", [("other", b"")]), ("consumer", []), ("", [("range", b"")])],
)
def test_incompatible_protocols_are_rejected(kind: str, protocols: list[tuple[str, bytes]]) -> None:
    group, _ = stable(1)
    refused = Client(protocols=protocols).join(group, 1, kind=kind)
    assert refused is not None and refused.error is ErrorCode.INCONSISTENT_GROUP_PROTOCOL


def test_a_full_group_rejects_new_members() -> None:
    group = Group("g", max_members=1)
    Client().join(group, 0)
    refused = Client().join(group, 0)
    assert refused is not None and refused.error is ErrorCode.GROUP_MAX_SIZE_REACHED


@pytest.mark.parametrize("state", [s for s in GroupState if s is not GroupState.DEAD])
def test_calls_by_state(state: GroupState) -> None:
    """Answers to heartbeats and commits: of a known member by the tables, of others by identity and generation."""
    group, (client,) = stable(1)
    group.state = state
    if state is GroupState.EMPTY:
        group.members.clear()
        assert group.commit_error("", None, -1, 0) is ErrorCode.NONE
        assert group.heartbeat(client.member_id, None, 1, 0) is HEARTBEAT[state]
        return
    assert group.heartbeat(client.member_id, None, 1, 0) is HEARTBEAT[state]
    assert group.commit_error(client.member_id, None, 1, 0) is COMMIT[state]
    assert group.commit_error("", None, -1, 0) is ErrorCode.UNKNOWN_MEMBER_ID
    assert group.heartbeat("unknown", None, 1, 0) is ErrorCode.UNKNOWN_MEMBER_ID
    assert group.heartbeat(client.member_id, None, 0, 0) is ErrorCode.ILLEGAL_GENERATION


def test_a_transition_that_the_table_lacks_is_an_error() -> None:
    group = Group("g")
    with pytest.raises(AssertionError, match="Empty cannot become Stable"):
        group._move(GroupState.STABLE)


def test_a_stable_group_is_stored_and_restored() -> None:
    group, clients = stable(2)
    again = Group("g")
    restore_group(again, encode_group(group, 5), monotonic_ms=100)
    assert again.state is GroupState.STABLE
    assert again.generation == group.generation
    assert {m: v.assignment for m, v in again.members.items()} == {m: v.assignment for m, v in group.members.items()}
    assert again.heartbeat(clients[0].member_id, None, group.generation, 200) is ErrorCode.NONE
    assert len(again.expire(100 + SESSION_MS)) >= 1


class GroupMachine(RuleBasedStateMachine):
    """Members join, leave and time out; in any order, states follow the table and no member waits for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 0
        self.group = Group("g")
        self.clients: list[Client] = []
        self.before = self.group.state

    @rule(static=st.sampled_from([None, None, "one", "two"]))
    def arrive(self, static: str | None) -> None:
        client = Client(instance_id=static)
        self.clients.append(client)
        client.join(self.group, self.now_ms)

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), what=st.sampled_from(["join", "sync", "heartbeat", "leave"]))
    def act(self, data: st.DataObject, what: str) -> None:
        client = data.draw(st.sampled_from(self.clients))
        if what == "join":
            client.join(self.group, self.now_ms)
        elif what == "sync":
            client.sync(self.group, self.now_ms, dict.fromkeys(self.group.members, b"a"))
        elif what == "heartbeat":
            self.group.heartbeat(client.member_id, client.instance_id, self.group.generation, self.now_ms)
        else:
            self.group.leave(client.member_id, client.instance_id, self.now_ms)

    @rule(by_ms=st.sampled_from([10, 500, 1500, 6000]))
    def wait(self, by_ms: int) -> None:
        self.now_ms += by_ms
        self.group.expire(self.now_ms)

    @invariant()
    def follows_the_tables(self) -> None:
        group = self.group
        assert group.state in TRANSITIONS
        assert (group.state is GroupState.EMPTY) == (not group.members) or group.state is GroupState.PREPARING
        assert set(group.roster.static.values()) <= set(group.members)
        assert not set(group.roster.pending) & set(group.members)
        if group.state in (GroupState.STABLE, GroupState.COMPLETING):
            assert group.leader in group.members
            assert all(m.join_reply is None for m in group.members.values())
        if group.state is GroupState.STABLE:
            assert all(m.sync_reply is None for m in group.members.values())

    def teardown(self) -> None:
        """When all sessions time out, the group ends up empty."""
        for _ in range(6):
            self.now_ms += 2 * REBALANCE_MS
            self.group.expire(self.now_ms)
        assert self.group.state is GroupState.EMPTY, self.group.state


GroupMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
test_group_in_any_order = GroupMachine.TestCase
