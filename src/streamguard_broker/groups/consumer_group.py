"""One group of the consumer protocol (KIP-848), as a state machine: no sockets, no tasks, time is passed in.

The broker assigns the partitions. Three epochs count upwards and follow each other:

1. The group's epoch rises when a member comes or goes, a subscription changes, or a subscribed topic does.
2. The target's epoch: at the next heartbeat of any member the assignor makes the target assignment of the group's epoch.
3. Each member's epoch: heartbeat by heartbeat it gives up what it has no more, reports that, and gets what others have
   given up (`groups.consumer_member`). The group is Stable once every member is in the target's epoch.

A member whose epoch is not the broker's is fenced: it gives up everything and joins again with epoch 0.

https://cwiki.apache.org/confluence/display/KAFKA/KIP-848%3A+The+Next+Generation+of+the+Consumer+Rebalance+Protocol
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from typing import NamedTuple, Protocol

from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.groups.assignors import ASSIGNORS, Assignment, Partition, TopicInfo
from streamguard_broker.groups.consumer_member import (
    JOIN_EPOCH,
    LEAVE_EPOCH,
    STATIC_LEAVE_EPOCH,
    ConsumerMember,
    HeartbeatCall,
    MemberState,
)


class ConsumerGroupState(Enum):
    """Named as Kafka's tools print them."""

    EMPTY = "Empty"
    ASSIGNING = "Assigning"
    RECONCILING = "Reconciling"
    STABLE = "Stable"
    DEAD = "Dead"


class Metadata(Protocol):
    """What a group asks about topics."""

    def topic(self, name: str) -> TopicInfo | None:
        """The topic of this name, if there is one."""

    def matching(self, pattern: str) -> frozenset[str]:
        """The names of the topics that a pattern matches."""


class HeartbeatResult(NamedTuple):
    """The answer to a member; `assignment` is None where it has not changed and was not asked for."""

    member_id: str
    epoch: int
    assignment: frozenset[Partition] | None = None


class ConsumerGroup:
    """Members and assignment of one group.

    epoch, target_epoch  of the group and of `target`, the assignment that members move to
    members              by id; the instance ids of static ones are in `static`
    subscriptions        the topics of each member when `epoch` last rose
    topics               the topics that exist among those, at that time
    empty_since_ms       monotonic; None while the group has members
    """

    kind = "consumer"

    def __init__(
        self,
        group_id: str,
        *,
        session_timeout_ms: int = 45_000,
        max_members: int = 10_000,
        persist: Callable[[ConsumerGroup], None] = lambda _: None,
    ) -> None:
        """`persist` is called when anything has changed but deadlines."""
        self.group_id = group_id
        self.epoch = 0
        self.target_epoch = 0
        self.target: Assignment = {}
        self.members: dict[str, ConsumerMember] = {}
        self.static: dict[str, str] = {}
        self.subscriptions: dict[str, frozenset[str]] = {}
        self.topics: dict[str, TopicInfo] = {}
        self.empty_since_ms: int | None = None
        self._dead = False
        self._session_timeout_ms = session_timeout_ms
        self._max_members = max_members
        self._persist = persist

    @property
    def is_empty(self) -> bool:
        return not self.members

    @property
    def state(self) -> ConsumerGroupState:
        if self._dead:
            return ConsumerGroupState.DEAD
        if not self.members:
            return ConsumerGroupState.EMPTY
        if self.epoch > self.target_epoch:
            return ConsumerGroupState.ASSIGNING
        settled = all(m.epoch == self.target_epoch and m.state is MemberState.STABLE for m in self.members.values())
        return ConsumerGroupState.STABLE if settled else ConsumerGroupState.RECONCILING

    @property
    def patterns(self) -> set[str]:
        """The regular expressions that members subscribe by."""
        return {m.pattern for m in self.members.values() if m.pattern}

    @property
    def assignor(self) -> str:
        """The one that most members ask for."""
        wanted = Counter(m.assignor for m in self.members.values() if m.assignor)
        return wanted.most_common(1)[0][0] if wanted else next(iter(ASSIGNORS))

    # ConsumerGroupHeartbeat

    def heartbeat(self, call: HeartbeatCall, metadata: Metadata, now_ms: int) -> HeartbeatResult:
        """A member joins, goes on or leaves. Raises KafkaError, with nothing changed. `metadata` knows all patterns."""
        if call.epoch in (LEAVE_EPOCH, STATIC_LEAVE_EPOCH):
            return self._leave(call, now_ms)
        member = self._joining(call) if call.epoch == JOIN_EPOCH else self._continuing(call)
        before = replace(member)
        epochs = (self.epoch, self.target_epoch)
        member.update(call)
        member.session_deadline_ms = now_ms + self._session_timeout_ms
        self.empty_since_ms = None
        self._refresh(metadata)
        if self.target_epoch < self.epoch:
            self._assign()
        target = self.target[member.member_id]
        member.reconcile(self.target_epoch, target, lambda: self._held_by_others(member), call.owned, now_ms)
        if member != before or epochs != (self.epoch, self.target_epoch):
            self._persist(self)
        shown = call.is_full or member.assigned != before.assigned
        return HeartbeatResult(member.member_id, member.epoch, member.assigned if shown else None)

    def _held_by_others(self, member: ConsumerMember) -> frozenset[Partition]:
        return frozenset[Partition]().union(*(m.held for m in self.members.values() if m is not member))

    def _joining(self, call: HeartbeatCall) -> ConsumerMember:
        """The member that joins: new, known under its id, or in the place of a static one that has left for now."""
        known = self.members.get(call.member_id)
        if call.instance_id is not None and call.instance_id in self.static:
            owner = self.members[self.static[call.instance_id]]
            if owner is known:
                return owner
            if owner.epoch != STATIC_LEAVE_EPOCH:
                raise KafkaError(
                    ErrorCode.UNRELEASED_INSTANCE_ID,
                    f"The instance id {call.instance_id} is in use by member {owner.member_id}.",
                )
            return self._replace_static(owner, call)
        if known is not None:
            return self._rename(known, call.instance_id)
        if len(self.members) >= self._max_members:
            raise KafkaError(ErrorCode.GROUP_MAX_SIZE_REACHED, f"The group has {self._max_members} members.")
        return self._add(ConsumerMember(call.member_id, call.instance_id, call.client_id, call.client_host))

    def _add(self, member: ConsumerMember) -> ConsumerMember:
        self.members[member.member_id] = member
        if member.instance_id is not None:
            self.static[member.instance_id] = member.member_id
        return member

    def _rename(self, member: ConsumerMember, instance_id: str | None) -> ConsumerMember:
        """A client that begins anew under its member id may have another instance id, which is not in use."""
        if instance_id is not None and member.instance_id != instance_id:
            if member.instance_id is not None:
                del self.static[member.instance_id]
            member.instance_id = instance_id
            self.static[instance_id] = member.member_id
        return member

    def _replace_static(self, old: ConsumerMember, call: HeartbeatCall) -> ConsumerMember:
        """Partitions, target and subscription of a static member pass to its successor, without a new epoch."""
        del self.members[old.member_id]
        self.target[call.member_id] = self.target.pop(old.member_id, frozenset())
        if old.member_id in self.subscriptions:
            self.subscriptions[call.member_id] = self.subscriptions.pop(old.member_id)
        return self._add(replace(old, member_id=call.member_id))

    def _continuing(self, call: HeartbeatCall) -> ConsumerMember:
        member = self._identify(call.member_id, call.instance_id)
        if not member.accepts_epoch(call):
            raise KafkaError(
                ErrorCode.FENCED_MEMBER_EPOCH,
                f"Member {call.member_id} is in epoch {member.epoch}, not {call.epoch}: it must give up its partitions "
                "and join again.",
            )
        return member

    def _identify(self, member_id: str, instance_id: str | None) -> ConsumerMember:
        """Raises KafkaError UNKNOWN_MEMBER_ID, or FENCED_INSTANCE_ID for a static member that another has replaced."""
        if instance_id is not None:
            owner = self.static.get(instance_id)
            if owner is None:
                raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID, f"The instance id {instance_id} is unknown.")
            if owner != member_id:
                raise KafkaError(ErrorCode.FENCED_INSTANCE_ID, f"Member {owner} has the instance id {instance_id}.")
        member = self.members.get(member_id)
        if member is None:
            raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID, f"{member_id} is no member of the group {self.group_id}.")
        return member

    def _refresh(self, metadata: Metadata) -> None:
        """Raise the epoch if members, their subscriptions, or the topics that they subscribe to have changed."""
        subscriptions = {
            m.member_id: m.topics | (metadata.matching(m.pattern) if m.pattern else frozenset())
            for m in self.members.values()
        }
        names = frozenset[str]().union(*subscriptions.values())
        topics = {name: found for name in names if (found := metadata.topic(name)) is not None}
        if subscriptions != self.subscriptions or topics != self.topics:
            self.epoch += 1
            self.subscriptions, self.topics = subscriptions, topics

    def _assign(self) -> None:
        # Static members first, as in Kafka: what they get does not depend on member ids, which are made at random.
        ordered = sorted(self.members.values(), key=lambda m: (m.instance_id is None, m.instance_id or m.member_id))
        subscriptions = {m.member_id: self.subscriptions[m.member_id] for m in ordered}
        self.target = ASSIGNORS[self.assignor](subscriptions, self.topics, self.target)
        self.target_epoch = self.epoch

    # Leaving

    def _leave(self, call: HeartbeatCall, now_ms: int) -> HeartbeatResult:
        member = self._identify(call.member_id, call.instance_id)
        if call.epoch == STATIC_LEAVE_EPOCH and member.instance_id is not None:
            member.leave_for_now()
            self._persist(self)
        else:
            self._remove(member, now_ms)
        return HeartbeatResult(call.member_id, call.epoch)

    def leave(self, member_id: str, instance_id: str | None, now_ms: int) -> ErrorCode:
        """An administrator removes a member; a static one may be given by its instance id alone."""
        if instance_id is not None and not member_id:
            member_id = self.static.get(instance_id, "")
        try:
            self._remove(self._identify(member_id, instance_id), now_ms)
        except KafkaError as error:
            return error.code
        return ErrorCode.NONE

    def _remove(self, member: ConsumerMember, now_ms: int) -> None:
        del self.members[member.member_id]
        if member.instance_id is not None:
            del self.static[member.instance_id]
        self.subscriptions.pop(member.member_id, None)
        self.target.pop(member.member_id, None)
        self.epoch += 1
        if not self.members:
            self.empty_since_ms = now_ms
        self._persist(self)

    def expire(self, now_ms: int) -> list[str]:
        """Remove members that sent no heartbeat in time, or did not revoke in time; their ids."""
        late = [
            member
            for member in self.members.values()
            if member.session_deadline_ms <= now_ms
            or (member.revoke_deadline_ms is not None and member.revoke_deadline_ms <= now_ms)
        ]
        for member in late:
            self._remove(member, now_ms)
        return [member.member_id for member in late]

    def kill(self) -> None:
        """The group is deleted."""
        self._dead = True

    # Offsets

    def commit_error(self, member_id: str, instance_id: str | None, epoch: int, now_ms: int) -> ErrorCode:
        """Whether this commit is allowed. Epoch -1 is a client that assigns its partitions itself."""
        if epoch < 0 and not self.members:
            return ErrorCode.NONE
        return self._epoch_error(member_id, epoch)

    def fetch_error(self, member_id: str | None, epoch: int) -> ErrorCode:
        """Whether offsets may be read; without a member id, always."""
        return ErrorCode.NONE if member_id is None and epoch < 0 else self._epoch_error(member_id or "", epoch)

    def _epoch_error(self, member_id: str, epoch: int) -> ErrorCode:
        member = self.members.get(member_id)
        if member is None:
            return ErrorCode.UNKNOWN_MEMBER_ID
        return ErrorCode.NONE if member.epoch == epoch else ErrorCode.STALE_MEMBER_EPOCH

    def subscribes(self, topic: str) -> bool:
        """Whether a member has subscribed to the topic."""
        return any(topic in names for names in self.subscriptions.values())
