"""One consumer group of the classic protocol, as a state machine: no sockets, no tasks, time passed in.

Calls that Kafka answers later carry a `reply`; the group calls it when the answer is known. `expire` is to be called
as time goes by. What the group decides on its own (a member gone, a rebalance over) shows in the replies it gives.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from streamguard_broker.errors import ErrorCode
from streamguard_broker.groups.states import COMMIT, HEARTBEAT, TRANSITIONS, GroupState


@dataclass
class JoinResult:
    """What a JoinGroup is answered; `members` is (member id, instance id, metadata), for the leader alone."""

    error: ErrorCode
    member_id: str
    generation: int = -1
    protocol_type: str | None = None
    protocol_name: str | None = None
    leader: str = ""
    members: list[tuple[str, str | None, bytes]] = field(default_factory=list)
    skip_assignment: bool = False


@dataclass
class SyncResult:
    """What a SyncGroup is answered."""

    error: ErrorCode
    assignment: bytes = b""
    protocol_type: str | None = None
    protocol_name: str | None = None


@dataclass
class JoinCall:
    """A JoinGroup request. Times in ms; `protocols` is (name, metadata) in the member's order of preference."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocol_type: str
    protocols: list[tuple[str, bytes]]
    reply: Callable[[JoinResult], None]
    requires_known_id: bool = False


@dataclass
class Member:
    """A member and what it waits for."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocols: list[tuple[str, bytes]]
    session_deadline_ms: int
    assignment: bytes = b""
    join_reply: Callable[[JoinResult], None] | None = None
    sync_reply: Callable[[SyncResult], None] | None = None

    def metadata(self, protocol: str | None) -> bytes:
        return next((data for name, data in self.protocols if name == protocol), b"")


class Group:
    """Members, generation and state of one group."""

    def __init__(
        self,
        group_id: str,
        *,
        initial_delay_ms: int = 0,
        max_members: int = 10_000,
        persist: Callable[[Group], None] = lambda _: None,
    ) -> None:
        """`persist` is called when a generation is complete or the group has become empty: time to store it."""
        self.group_id = group_id
        self.state = GroupState.EMPTY
        self.generation = 0
        self.protocol_type: str | None = None
        self.protocol_name: str | None = None
        self.leader: str | None = None
        self.members: dict[str, Member] = {}
        self.static: dict[str, str] = {}
        self.pending: dict[str, int] = {}
        self.empty_since_ms: int | None = None
        self._initial_delay_ms = initial_delay_ms
        self._max_members = max_members
        self._persist = persist
        self._join_opens_ms = 0
        self._join_deadline_ms = 0
        self._sync_deadline_ms = 0

    def _move(self, state: GroupState) -> None:
        if state not in TRANSITIONS[self.state]:
            raise AssertionError(f"group {self.group_id}: {self.state.value} cannot become {state.value}")
        self.state = state

    # Joining

    def join(self, call: JoinCall, now_ms: int) -> None:
        """A JoinGroup; answered through `call.reply`, at once or when the rebalance completes."""
        error = self._join_refusal(call)
        if error is not ErrorCode.NONE:
            call.reply(JoinResult(error, call.member_id))
        elif call.member_id:
            self._join_known(call, now_ms)
        elif call.instance_id is not None and call.instance_id in self.static:
            self._replace_static(call, now_ms)
        elif call.requires_known_id and call.instance_id is None:
            member_id = self._new_member_id(call)
            self.pending[member_id] = now_ms + call.session_timeout_ms
            call.reply(JoinResult(ErrorCode.MEMBER_ID_REQUIRED, member_id))
        else:
            self._add_member(self._new_member_id(call), call, now_ms)

    def _join_refusal(self, call: JoinCall) -> ErrorCode:
        if self.state is GroupState.DEAD:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE
        if not call.protocol_type or not call.protocols:
            return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
        others = [m for m in self.members.values() if m.member_id != call.member_id]
        if others:
            if call.protocol_type != self.protocol_type:
                return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
            common = set.intersection(*({name for name, _ in m.protocols} for m in others))
            if not common & {name for name, _ in call.protocols}:
                return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
        if call.member_id not in self.members and len(self.members) >= self._max_members:
            return ErrorCode.GROUP_MAX_SIZE_REACHED
        return ErrorCode.NONE

    @staticmethod
    def _new_member_id(call: JoinCall) -> str:
        return f"{call.instance_id or call.client_id}-{uuid.uuid4()}"

    def _join_known(self, call: JoinCall, now_ms: int) -> None:
        if call.member_id in self.pending:
            del self.pending[call.member_id]
            self._add_member(call.member_id, call, now_ms)
            return
        error = self._identity_error(call.member_id, call.instance_id)
        if error is not ErrorCode.NONE:
            call.reply(JoinResult(error, call.member_id))
            return
        member = self.members[call.member_id]
        unchanged = member.protocols == call.protocols
        follower_asks_again = self.state is GroupState.STABLE and unchanged and member.member_id != self.leader
        if follower_asks_again or (self.state is GroupState.COMPLETING and unchanged):
            member.session_deadline_ms = now_ms + member.session_timeout_ms
            call.reply(self._join_result(member))
            return
        self._update_member(member, call, now_ms)
        self._rebalance(now_ms)

    def _identity_error(self, member_id: str, instance_id: str | None) -> ErrorCode:
        """Whether the caller is who it says (KIP-345)."""
        if instance_id is not None:
            known = self.static.get(instance_id)
            if known is None:
                return ErrorCode.UNKNOWN_MEMBER_ID
            if known != member_id:
                return ErrorCode.FENCED_INSTANCE_ID
        return ErrorCode.NONE if member_id in self.members else ErrorCode.UNKNOWN_MEMBER_ID

    def _add_member(self, member_id: str, call: JoinCall, now_ms: int) -> None:
        if not self.members:
            self.protocol_type = call.protocol_type
        member = Member(
            member_id,
            call.instance_id,
            call.client_id,
            call.client_host,
            call.session_timeout_ms,
            call.rebalance_timeout_ms,
            call.protocols,
            now_ms + call.session_timeout_ms,
            join_reply=call.reply,
        )
        self.members[member_id] = member
        if call.instance_id is not None:
            self.static[call.instance_id] = member_id
        self._rebalance(now_ms)

    def _update_member(self, member: Member, call: JoinCall, now_ms: int) -> None:
        if member.join_reply is not None and member.join_reply is not call.reply:
            member.join_reply(JoinResult(ErrorCode.REBALANCE_IN_PROGRESS, member.member_id))
        member.protocols = call.protocols
        member.session_timeout_ms = call.session_timeout_ms
        member.rebalance_timeout_ms = call.rebalance_timeout_ms
        member.session_deadline_ms = now_ms + call.session_timeout_ms
        member.join_reply = call.reply

    def _replace_static(self, call: JoinCall, now_ms: int) -> None:
        """A static member came back under its instance id: it takes the old one's place, whom it fences."""
        assert call.instance_id is not None
        old = self.members.pop(self.static[call.instance_id])
        if old.join_reply is not None:
            old.join_reply(JoinResult(ErrorCode.FENCED_INSTANCE_ID, old.member_id))
        if old.sync_reply is not None:
            old.sync_reply(SyncResult(ErrorCode.FENCED_INSTANCE_ID))
        member = Member(
            self._new_member_id(call),
            call.instance_id,
            call.client_id,
            call.client_host,
            call.session_timeout_ms,
            call.rebalance_timeout_ms,
            call.protocols,
            now_ms + call.session_timeout_ms,
            assignment=old.assignment,
        )
        self.members[member.member_id] = member
        self.static[call.instance_id] = member.member_id
        was_leader = self.leader == old.member_id
        if was_leader:
            self.leader = member.member_id
        if self.state is GroupState.STABLE and old.protocols == call.protocols:
            result = self._join_result(member)
            result.skip_assignment = was_leader
            self._persist(self)
            call.reply(result)
            return
        member.join_reply = call.reply
        self._rebalance(now_ms)

    # Rebalancing

    def _rebalance(self, now_ms: int) -> None:
        """Ask everybody to join again, unless that is under way; complete if nobody is missing."""
        if self.state is not GroupState.PREPARING:
            if self.state is GroupState.COMPLETING:
                self._refuse_syncs(ErrorCode.REBALANCE_IN_PROGRESS)
            self._join_opens_ms = now_ms + (self._initial_delay_ms if self.state is GroupState.EMPTY else 0)
            self._move(GroupState.PREPARING)
            longest = max((m.rebalance_timeout_ms for m in self.members.values()), default=0)
            self._join_deadline_ms = max(now_ms + longest, self._join_opens_ms)
        self._try_complete(now_ms)

    def _refuse_syncs(self, error: ErrorCode) -> None:
        for member in self.members.values():
            member.assignment = b""
            if member.sync_reply is not None:
                reply, member.sync_reply = member.sync_reply, None
                reply(SyncResult(error))

    def _try_complete(self, now_ms: int) -> None:
        if self.state is not GroupState.PREPARING or now_ms < self._join_opens_ms:
            return
        everybody = not self.pending and all(m.join_reply is not None for m in self.members.values())
        if everybody or now_ms >= self._join_deadline_ms:
            self._complete_join(now_ms)

    def _complete_join(self, now_ms: int) -> None:
        """Complete the join phase: members that did not rejoin, static ones excepted, are removed."""
        for member in [m for m in self.members.values() if m.join_reply is None and m.instance_id is None]:
            self._forget(member)
        self.generation += 1
        if not self.members:
            self._become_empty(now_ms)
            return
        joined = [m for m in self.members.values() if m.join_reply is not None]
        if self.leader not in self.members or (joined and self.members[self.leader].join_reply is None):
            self.leader = (joined or list(self.members.values()))[0].member_id
        self.protocol_name = self._elect_protocol()
        self._move(GroupState.COMPLETING)
        longest = max(m.rebalance_timeout_ms for m in self.members.values())
        self._sync_deadline_ms = now_ms + longest
        for member in self.members.values():
            if member.join_reply is not None:
                reply, member.join_reply = member.join_reply, None
                member.session_deadline_ms = now_ms + member.session_timeout_ms
                reply(self._join_result(member))

    def _become_empty(self, now_ms: int) -> None:
        self.leader = self.protocol_name = None
        self.empty_since_ms = now_ms
        self._move(GroupState.EMPTY)
        self._persist(self)

    def _elect_protocol(self) -> str:
        """Every member votes for its first protocol among those all know."""
        names = [{name for name, _ in m.protocols} for m in self.members.values()]
        common = set.intersection(*names)
        votes: dict[str, int] = {}
        for member in self.members.values():
            choice = next(name for name, _ in member.protocols if name in common)
            votes[choice] = votes.get(choice, 0) + 1
        return max(votes, key=lambda name: votes[name])

    def _join_result(self, member: Member) -> JoinResult:
        members = []
        if member.member_id == self.leader:
            members = [(m.member_id, m.instance_id, m.metadata(self.protocol_name)) for m in self.members.values()]
        return JoinResult(
            ErrorCode.NONE,
            member.member_id,
            self.generation,
            self.protocol_type,
            self.protocol_name,
            self.leader or "",
            members,
        )

    # Synchronising

    def sync(
        self,
        member_id: str,
        instance_id: str | None,
        generation: int,
        assignments: dict[str, bytes],
        reply: Callable[[SyncResult], None],
        now_ms: int,
    ) -> None:
        """A SyncGroup: the leader's carries the assignments; the others wait for it."""
        error = self._call_error(member_id, instance_id, generation)
        if error is ErrorCode.NONE and self.state is GroupState.PREPARING:
            error = ErrorCode.REBALANCE_IN_PROGRESS
        if error is not ErrorCode.NONE:
            reply(SyncResult(error))
            return
        member = self.members[member_id]
        member.session_deadline_ms = now_ms + member.session_timeout_ms
        if self.state is GroupState.STABLE:
            reply(self._sync_result(member))
            return
        member.sync_reply = reply
        if member_id == self.leader:
            self._settle(assignments, now_ms)

    def _settle(self, assignments: dict[str, bytes], now_ms: int) -> None:
        for member in self.members.values():
            member.assignment = assignments.get(member.member_id, b"")
        self._move(GroupState.STABLE)
        self.empty_since_ms = None
        self._persist(self)
        for member in list(self.members.values()):
            if member.sync_reply is not None:
                waiting, member.sync_reply = member.sync_reply, None
                member.session_deadline_ms = now_ms + member.session_timeout_ms
                waiting(self._sync_result(member))

    def _sync_result(self, member: Member) -> SyncResult:
        return SyncResult(ErrorCode.NONE, member.assignment, self.protocol_type, self.protocol_name)

    def _call_error(self, member_id: str, instance_id: str | None, generation: int) -> ErrorCode:
        if self.state is GroupState.DEAD:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE
        error = self._identity_error(member_id, instance_id)
        if error is ErrorCode.NONE and generation != self.generation:
            return ErrorCode.ILLEGAL_GENERATION
        return error

    # Living and leaving

    def heartbeat(self, member_id: str, instance_id: str | None, generation: int, now_ms: int) -> ErrorCode:
        """A Heartbeat; a valid one keeps the member alive whatever it is told."""
        if member_id in self.pending:
            return ErrorCode.NONE
        error = self._call_error(member_id, instance_id, generation)
        if error is not ErrorCode.NONE:
            return error
        member = self.members[member_id]
        member.session_deadline_ms = now_ms + member.session_timeout_ms
        return HEARTBEAT[self.state]

    def leave(self, member_id: str, instance_id: str | None, now_ms: int) -> ErrorCode:
        """A member goes; a static one may be named by its instance id alone."""
        if instance_id is not None and not member_id:
            member_id = self.static.get(instance_id, "")
        if member_id in self.pending:
            del self.pending[member_id]
            self._try_complete(now_ms)
            return ErrorCode.NONE
        error = self._identity_error(member_id, instance_id)
        if error is ErrorCode.NONE:
            self._remove(self.members[member_id], now_ms)
        return error

    def commit_error(self, member_id: str, instance_id: str | None, generation: int, now_ms: int) -> ErrorCode:
        """Whether this commit is allowed. Generation -1 is a client that assigns its partitions itself."""
        if generation < 0 and self.state is GroupState.EMPTY:
            return ErrorCode.NONE
        error = self._call_error(member_id, instance_id, generation)
        if error is not ErrorCode.NONE:
            return error
        member = self.members[member_id]
        member.session_deadline_ms = now_ms + member.session_timeout_ms
        return COMMIT[self.state]

    def _forget(self, member: Member) -> None:
        del self.members[member.member_id]
        if member.instance_id is not None and self.static.get(member.instance_id) == member.member_id:
            del self.static[member.instance_id]
        if member.join_reply is not None:
            member.join_reply(JoinResult(ErrorCode.UNKNOWN_MEMBER_ID, member.member_id))
        if member.sync_reply is not None:
            member.sync_reply(SyncResult(ErrorCode.UNKNOWN_MEMBER_ID))

    def _remove(self, member: Member, now_ms: int) -> None:
        self._forget(member)
        self._rebalance(now_ms)

    def abandon(self, reply: object, now_ms: int) -> None:
        """The connection that waited on `reply` is gone: its member is on its session timeout from now."""
        for member in self.members.values():
            if member.join_reply is reply:
                member.join_reply = None
                member.session_deadline_ms = now_ms + member.session_timeout_ms
            if member.sync_reply is reply:
                member.sync_reply = None

    def expire(self, now_ms: int) -> list[str]:
        """Let time pass: drop silent members, end overdue rebalances. Returns who was dropped."""
        gone = []
        for member_id in [m for m, deadline in self.pending.items() if deadline <= now_ms]:
            del self.pending[member_id]
        for member in list(self.members.values()):
            waiting = member.join_reply is not None or member.sync_reply is not None
            if not waiting and member.session_deadline_ms <= now_ms and member.member_id in self.members:
                gone.append(member.member_id)
                self._remove(member, now_ms)
        if self.state is GroupState.COMPLETING and now_ms >= self._sync_deadline_ms:
            late = [m for m in self.members.values() if m.sync_reply is None]
            gone.extend(m.member_id for m in late)
            for member in late:
                self._forget(member)
            self._rebalance(now_ms)
        self._try_complete(now_ms)
        return gone

    def kill(self) -> None:
        """The group is deleted."""
        self._move(GroupState.DEAD)
