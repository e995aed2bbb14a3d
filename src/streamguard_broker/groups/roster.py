"""The members of one group: identity, protocols in common, votes. No time and no state of the group."""

from __future__ import annotations

from collections.abc import Iterable

from streamguard_broker.errors import ErrorCode
from streamguard_broker.groups.member import JoinCall, Member


class Roster:
    """Members by id.

    members  in the order in which they joined
    static   instance id -> member id (KIP-345); each of these is in `members`
    pending  ids given to clients that have not joined with them (KIP-394), with their deadlines; none is in `members`
    """

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.static: dict[str, str] = {}
        self.pending: dict[str, int] = {}

    @property
    def is_empty(self) -> bool:
        """Neither members nor pending ids."""
        return not self.members and not self.pending

    @property
    def longest_rebalance_timeout_ms(self) -> int:
        return max((m.rebalance_timeout_ms for m in self.members.values()), default=0)

    @property
    def all_joined(self) -> bool:
        """Whether every member waits for the answer to a JoinGroup, and no id is pending."""
        return not self.pending and all(m.join_reply is not None for m in self.members.values())

    def add(self, member: Member) -> None:
        self.members[member.member_id] = member
        if member.instance_id is not None:
            self.static[member.instance_id] = member.member_id

    def remove(self, member: Member) -> None:
        del self.members[member.member_id]
        if member.instance_id is not None and self.static.get(member.instance_id) == member.member_id:
            del self.static[member.instance_id]

    def identity_error(self, member_id: str, instance_id: str | None) -> ErrorCode:
        """UNKNOWN_MEMBER_ID, or FENCED_INSTANCE_ID for a static member that another has replaced (KIP-345)."""
        if instance_id is not None:
            known = self.static.get(instance_id)
            if known is None:
                return ErrorCode.UNKNOWN_MEMBER_ID
            if known != member_id:
                return ErrorCode.FENCED_INSTANCE_ID
        return ErrorCode.NONE if member_id in self.members else ErrorCode.UNKNOWN_MEMBER_ID

    def protocol_error(self, call: JoinCall, protocol_type: str | None) -> ErrorCode:
        """INCONSISTENT_GROUP_PROTOCOL without the type of the others, or a protocol that they all support."""
        others = [m for m in self.members.values() if m.member_id != call.member_id]
        consistent = bool(call.protocol_type and call.protocols)
        if consistent and others:
            supported = {name for name, _ in call.protocols}
            consistent = call.protocol_type == protocol_type and bool(_common(others) & supported)
        return ErrorCode.NONE if consistent else ErrorCode.INCONSISTENT_GROUP_PROTOCOL

    def elect_protocol(self) -> str:
        """Every member votes for its first protocol among those that all support."""
        common = _common(self.members.values())
        votes: dict[str, int] = {}
        for member in self.members.values():
            choice = next(name for name, _ in member.protocols if name in common)
            votes[choice] = votes.get(choice, 0) + 1
        return max(votes, key=lambda name: votes[name])


def _common(members: Iterable[Member]) -> set[str]:
    return set.intersection(*({name for name, _ in m.protocols} for m in members))
