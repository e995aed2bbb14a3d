"""One consumer group of the classic protocol, as a state machine: no sockets, no tasks, time is passed in.

Calls that Kafka answers later have a `reply`, which the group calls when the answer is known. `expire` applies timeouts.
What the group decides on its own (a session timed out, a rebalance is complete) shows in the replies.

A rebalance: `_rebalance` moves the group to PREPARING, where members join; `_complete_join` ends that when all have
joined or the rebalance timeout is over, and moves it to COMPLETING, where members wait for their assignments;
`_complete_sync` gives them those of the leader and moves it to STABLE. The states are in `groups.states`.

https://cwiki.apache.org/confluence/display/KAFKA/Kafka+Client-side+Assignment+Proposal
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from streamguard_broker.errors import ErrorCode
from streamguard_broker.groups.member import JoinCall, JoinResult, Member, SyncResult
from streamguard_broker.groups.roster import Roster
from streamguard_broker.groups.states import COMMIT, HEARTBEAT, TRANSITIONS, GroupState


class Group:
    """Members, generation and state of one group.

    roster          members, instance ids, pending ids
    generation      counts completed join phases
    leader          the member id that assigns partitions; None without members
    empty_since_ms  monotonic; None while the group has members
    """

    kind = "classic"

    def __init__(
        self,
        group_id: str,
        *,
        initial_delay_ms: int = 0,
        max_members: int = 10_000,
        persist: Callable[[Group], None] = lambda _: None,
    ) -> None:
        """`persist` is called when a generation is complete, a static member is replaced or the group is empty."""
        self.group_id = group_id
        self.state = GroupState.EMPTY
        self.generation = 0
        self.protocol_type: str | None = None
        self.protocol_name: str | None = None
        self.leader: str | None = None
        self.roster = Roster()
        self.empty_since_ms: int | None = None
        self._initial_delay_ms = initial_delay_ms
        self._max_members = max_members
        self._persist = persist
        self._join_opens_ms = 0
        self._join_deadline_ms = 0
        self._sync_deadline_ms = 0

    @property
    def members(self) -> dict[str, Member]:
        """Members by id."""
        return self.roster.members

    @property
    def is_empty(self) -> bool:
        """Neither members nor ids that clients may still join with."""
        return self.roster.is_empty

    def fetch_error(self, member_id: str | None, epoch: int) -> ErrorCode:
        """Offsets may always be read."""
        return ErrorCode.NONE

    def _move(self, state: GroupState) -> None:
        if state not in TRANSITIONS[self.state]:
            raise AssertionError(f"group {self.group_id}: {self.state.value} cannot become {state.value}")
        self.state = state

    # JoinGroup

    def join(self, call: JoinCall, now_ms: int) -> None:
        """A JoinGroup; answered through `call.reply`, at once or when the join phase is complete."""
        error = self._join_error(call)
        if error is not ErrorCode.NONE:
            call.reply(JoinResult(error, call.member_id))
        elif call.member_id:
            self._join_known(call, now_ms)
        elif call.instance_id is not None and call.instance_id in self.roster.static:
            self._replace_static(call, now_ms)
        elif call.requires_known_id and call.instance_id is None:
            member_id = _new_member_id(call)
            self.roster.pending[member_id] = now_ms + call.session_timeout_ms
            call.reply(JoinResult(ErrorCode.MEMBER_ID_REQUIRED, member_id))
        else:
            self._add_member(_new_member_id(call), call, now_ms)

    def _join_error(self, call: JoinCall) -> ErrorCode:
        if self.state is GroupState.DEAD:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE
        error = self.roster.protocol_error(call, self.protocol_type)
        if error is ErrorCode.NONE and call.member_id not in self.members and len(self.members) >= self._max_members:
            return ErrorCode.GROUP_MAX_SIZE_REACHED
        return error

    def _join_known(self, call: JoinCall, now_ms: int) -> None:
        if call.member_id in self.roster.pending:
            del self.roster.pending[call.member_id]
            self._add_member(call.member_id, call, now_ms)
            return
        error = self.roster.identity_error(call.member_id, call.instance_id)
        if error is not ErrorCode.NONE:
            call.reply(JoinResult(error, call.member_id))
            return
        member = self.members[call.member_id]
        unchanged = member.protocols == call.protocols
        follower_rejoins = self.state is GroupState.STABLE and unchanged and member.member_id != self.leader
        if follower_rejoins or (self.state is GroupState.COMPLETING and unchanged):
            member.extend_session(now_ms)
            call.reply(self._join_result(member))
            return
        if member.join_reply is not call.reply:
            member.answer_join(JoinResult(ErrorCode.REBALANCE_IN_PROGRESS, member.member_id))
        member.update(call, now_ms)
        member.join_reply = call.reply
        self._rebalance(now_ms)

    def _add_member(self, member_id: str, call: JoinCall, now_ms: int) -> None:
        if not self.members:
            self.protocol_type = call.protocol_type
        member = Member.from_call(member_id, call, now_ms)
        member.join_reply = call.reply
        self.roster.add(member)
        self._rebalance(now_ms)

    def _replace_static(self, call: JoinCall, now_ms: int) -> None:
        """A static member restarted: under a new member id it replaces the old one, which is fenced (KIP-345)."""
        assert call.instance_id is not None
        old = self.members[self.roster.static[call.instance_id]]
        self._drop(old, ErrorCode.FENCED_INSTANCE_ID)
        member = Member.from_call(_new_member_id(call), call, now_ms)
        member.assignment = old.assignment
        self.roster.add(member)
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

    # Rebalances

    def _rebalance(self, now_ms: int) -> None:
        """Begin a join phase unless one is in progress; complete it if all members have joined."""
        if self.state is not GroupState.PREPARING:
            if self.state is GroupState.COMPLETING:
                for member in self.members.values():
                    member.assignment = b""
                    member.answer_sync(SyncResult(ErrorCode.REBALANCE_IN_PROGRESS))
            self._join_opens_ms = now_ms + (self._initial_delay_ms if self.state is GroupState.EMPTY else 0)
            self._move(GroupState.PREPARING)
            self._join_deadline_ms = max(now_ms + self.roster.longest_rebalance_timeout_ms, self._join_opens_ms)
        self._try_complete(now_ms)

    def _try_complete(self, now_ms: int) -> None:
        if self.state is not GroupState.PREPARING or now_ms < self._join_opens_ms:
            return
        if self.roster.all_joined or now_ms >= self._join_deadline_ms:
            self._complete_join(now_ms)

    def _complete_join(self, now_ms: int) -> None:
        """Complete the join phase: members that did not rejoin, static ones excepted, are removed."""
        for member in [m for m in self.members.values() if m.join_reply is None and m.instance_id is None]:
            self._drop(member)
        self.generation += 1
        if not self.members:
            self._become_empty(now_ms)
            return
        joined = [m for m in self.members.values() if m.join_reply is not None]
        if self.leader not in self.members or (joined and self.members[self.leader].join_reply is None):
            self.leader = (joined or list(self.members.values()))[0].member_id
        self.protocol_name = self.roster.elect_protocol()
        self._move(GroupState.COMPLETING)
        self._sync_deadline_ms = now_ms + self.roster.longest_rebalance_timeout_ms
        for member in joined:
            member.extend_session(now_ms)
            member.answer_join(self._join_result(member))

    def _become_empty(self, now_ms: int) -> None:
        self.leader = self.protocol_name = None
        self.empty_since_ms = now_ms
        self._move(GroupState.EMPTY)
        self._persist(self)

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

    # SyncGroup

    def sync(
        self,
        member_id: str,
        instance_id: str | None,
        generation: int,
        assignments: dict[str, bytes],
        reply: Callable[[SyncResult], None],
        now_ms: int,
    ) -> None:
        """A SyncGroup: that of the leader has the assignments; the others wait for it."""
        error = self._member_error(member_id, instance_id, generation)
        if error is ErrorCode.NONE and self.state is GroupState.PREPARING:
            error = ErrorCode.REBALANCE_IN_PROGRESS
        if error is not ErrorCode.NONE:
            reply(SyncResult(error))
            return
        member = self.members[member_id]
        member.extend_session(now_ms)
        if self.state is GroupState.STABLE:
            reply(self._sync_result(member))
            return
        member.sync_reply = reply
        if member_id == self.leader:
            self._complete_sync(assignments, now_ms)

    def _complete_sync(self, assignments: dict[str, bytes], now_ms: int) -> None:
        for member in self.members.values():
            member.assignment = assignments.get(member.member_id, b"")
        self._move(GroupState.STABLE)
        self.empty_since_ms = None
        self._persist(self)
        for member in [m for m in self.members.values() if m.sync_reply is not None]:
            member.extend_session(now_ms)
            member.answer_sync(self._sync_result(member))

    def _sync_result(self, member: Member) -> SyncResult:
        return SyncResult(ErrorCode.NONE, member.assignment, self.protocol_type, self.protocol_name)

    # Heartbeat, LeaveGroup, OffsetCommit

    def _member_error(self, member_id: str, instance_id: str | None, generation: int) -> ErrorCode:
        if self.state is GroupState.DEAD:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE
        error = self.roster.identity_error(member_id, instance_id)
        if error is ErrorCode.NONE and generation != self.generation:
            return ErrorCode.ILLEGAL_GENERATION
        return error

    def heartbeat(self, member_id: str, instance_id: str | None, generation: int, now_ms: int) -> ErrorCode:
        """A Heartbeat; a valid one extends the session, whatever the answer."""
        if member_id in self.roster.pending:
            return ErrorCode.NONE
        error = self._member_error(member_id, instance_id, generation)
        if error is not ErrorCode.NONE:
            return error
        self.members[member_id].extend_session(now_ms)
        return HEARTBEAT[self.state]

    def commit_error(self, member_id: str, instance_id: str | None, generation: int, now_ms: int) -> ErrorCode:
        """Whether this commit is allowed. Generation -1 is a client that assigns its partitions itself."""
        if generation < 0 and self.state is GroupState.EMPTY:
            return ErrorCode.NONE
        error = self._member_error(member_id, instance_id, generation)
        if error is not ErrorCode.NONE:
            return error
        self.members[member_id].extend_session(now_ms)
        return COMMIT[self.state]

    def leave(self, member_id: str, instance_id: str | None, now_ms: int) -> ErrorCode:
        """A member leaves; a static one may be given by its instance id alone."""
        if instance_id is not None and not member_id:
            member_id = self.roster.static.get(instance_id, "")
        if member_id in self.roster.pending:
            del self.roster.pending[member_id]
            self._try_complete(now_ms)
            return ErrorCode.NONE
        error = self.roster.identity_error(member_id, instance_id)
        if error is ErrorCode.NONE:
            self._drop(self.members[member_id])
            self._rebalance(now_ms)
        return error

    def _drop(self, member: Member, error: ErrorCode = ErrorCode.UNKNOWN_MEMBER_ID) -> None:
        """Remove a member; what it waits for is answered with `error`."""
        self.roster.remove(member)
        member.answer_join(JoinResult(error, member.member_id))
        member.answer_sync(SyncResult(error))

    # Timeouts

    def abandon(self, reply: object, now_ms: int) -> None:
        """The connection that waits on `reply` is closed: the session timeout of its member begins."""
        for member in self.members.values():
            if member.join_reply is reply:
                member.join_reply = None
                member.extend_session(now_ms)
            if member.sync_reply is reply:
                member.sync_reply = None

    def expire(self, now_ms: int) -> list[str]:
        """Apply timeouts: of sessions, pending ids, join and sync phases. Returns the ids of members removed."""
        removed = []
        for member_id in [m for m, deadline in self.roster.pending.items() if deadline <= now_ms]:
            del self.roster.pending[member_id]
        for member in list(self.members.values()):
            waiting = member.join_reply is not None or member.sync_reply is not None
            if not waiting and member.session_deadline_ms <= now_ms and member.member_id in self.members:
                removed.append(member.member_id)
                self._drop(member)
                self._rebalance(now_ms)
        if self.state is GroupState.COMPLETING and now_ms >= self._sync_deadline_ms:
            late = [m for m in self.members.values() if m.sync_reply is None]
            removed.extend(m.member_id for m in late)
            for member in late:
                self._drop(member)
            self._rebalance(now_ms)
        self._try_complete(now_ms)
        return removed

    def kill(self) -> None:
        """The group is deleted."""
        self._move(GroupState.DEAD)


def _new_member_id(call: JoinCall) -> str:
    return f"{call.instance_id or call.client_id}-{uuid.uuid4()}"
