"""A member of a group of the consumer protocol, and how it comes from what it has to what it should have (KIP-848).

The states; a heartbeat may lead from each to each:

    STABLE      it has what the target of its epoch gives it
    REVOKING    it must give partitions up first; until it reports that it has, its epoch stays, and nobody else gets them
    WAITING     it is in the epoch of the target, and others have not given up yet what it will get

A member has its partitions (`assigned`) and those that it is giving up (`revoking`): no other member gets either.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass, field
from enum import Enum

from streamguard_broker.groups.assignors import Partition

JOIN_EPOCH = 0
LEAVE_EPOCH = -1
STATIC_LEAVE_EPOCH = -2
"""A static member goes, and will be back under its instance id."""


class MemberState(Enum):
    """See the module."""

    STABLE = "stable"
    REVOKING = "revoking"
    WAITING = "waiting"


@dataclass(frozen=True)
class HeartbeatCall:
    """A ConsumerGroupHeartbeat. None (`rebalance_timeout_ms`: -1) is "as before"; `owned` is what the client has."""

    member_id: str
    epoch: int
    client_id: str
    client_host: str
    instance_id: str | None = None
    rack_id: str | None = None
    rebalance_timeout_ms: int = -1
    topics: frozenset[str] | None = None
    pattern: str | None = None
    assignor: str | None = None
    owned: frozenset[Partition] | None = None

    @property
    def is_full(self) -> bool:
        """Whether the client says all that it may say: it wants the whole assignment."""
        subscribes = self.topics is not None or self.pattern is not None
        complete = self.rebalance_timeout_ms != -1 and subscribes and self.owned is not None
        return self.epoch == JOIN_EPOCH or complete


@dataclass
class ConsumerMember:
    """One member. Times in ms, deadlines on the monotonic clock; `revoke_deadline_ms` is None while it revokes nothing."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    rack_id: str | None = None
    rebalance_timeout_ms: int = -1
    topics: frozenset[str] = frozenset()
    pattern: str | None = None
    assignor: str | None = None
    epoch: int = JOIN_EPOCH
    previous_epoch: int = JOIN_EPOCH
    state: MemberState = MemberState.STABLE
    assigned: frozenset[Partition] = frozenset()
    revoking: frozenset[Partition] = frozenset()
    session_deadline_ms: int = field(default=0, compare=False)
    revoke_deadline_ms: int | None = field(default=None, compare=False)

    @property
    def held(self) -> frozenset[Partition]:
        """What nobody else may get yet."""
        return self.assigned | self.revoking

    def accepts_epoch(self, call: HeartbeatCall) -> bool:
        """Whether a heartbeat is of the member as it is now.

        Epoch 0 is a client that begins anew. The epoch of before is one that missed the response with the new one, as
        long as it has nothing that it was not given.
        """
        if call.epoch in (JOIN_EPOCH, self.epoch):
            return True
        return call.epoch == self.previous_epoch and call.owned is not None and call.owned <= self.assigned

    def update(self, call: HeartbeatCall) -> None:
        """Take what the client says about itself."""
        self.client_id, self.client_host = call.client_id, call.client_host
        if call.rack_id is not None:
            self.rack_id = call.rack_id
        if call.rebalance_timeout_ms != -1:
            self.rebalance_timeout_ms = call.rebalance_timeout_ms
        if call.topics is not None:
            self.topics = call.topics
        if call.pattern is not None:
            self.pattern = call.pattern or None
        if call.assignor is not None:
            self.assignor = call.assignor

    def reconcile(
        self,
        target_epoch: int,
        target: Set[Partition],
        held_by_others: Callable[[], Set[Partition]],
        owned: Set[Partition] | None,
        now_ms: int,
    ) -> None:
        """One step towards `target`. `owned` is what the client says it has, None if it says nothing."""
        if self.state is MemberState.REVOKING and (owned is None or owned & self.revoking):
            return
        if self.state is MemberState.STABLE and self.epoch == target_epoch:
            return
        keep, surplus = self.assigned & target, self.assigned - target
        if surplus and (owned is None or owned & surplus):
            self.assigned, self.revoking = keep, surplus
            self.revoke_deadline_ms = now_ms + self.rebalance_timeout_ms
            self.state = MemberState.REVOKING
            return
        self.assigned = frozenset(target - held_by_others()) | keep
        self.revoking = frozenset()
        self.revoke_deadline_ms = None
        if self.epoch != target_epoch:
            self.previous_epoch, self.epoch = self.epoch, target_epoch
        self.state = MemberState.STABLE if self.assigned == target else MemberState.WAITING

    def leave_for_now(self) -> None:
        """A static member goes and will be back: it keeps its partitions, and gives up what it was giving up."""
        self.epoch = STATIC_LEAVE_EPOCH
        self.revoking = frozenset()
        self.revoke_deadline_ms = None
        self.state = MemberState.STABLE
