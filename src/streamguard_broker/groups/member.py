"""A member of a group, and the calls and results of its state machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from streamguard_broker.errors import ErrorCode


@dataclass
class JoinResult:
    """The answer to a JoinGroup; `members` is (member id, instance id, metadata), for the leader alone."""

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
    """The answer to a SyncGroup."""

    error: ErrorCode
    assignment: bytes = b""
    protocol_type: str | None = None
    protocol_name: str | None = None


@dataclass
class JoinCall:
    """A JoinGroup request. Times in ms; `protocols` is (name, metadata) in the member's order of preference.

    requires_known_id  a new member must join again with the id that it gets (KIP-394)
    """

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
    """A member. Times in ms, `session_deadline_ms` on the monotonic clock.

    join_reply, sync_reply  where the answer to an outstanding JoinGroup or SyncGroup goes; None if none is outstanding
    """

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

    @classmethod
    def from_call(cls, member_id: str, call: JoinCall, now_ms: int) -> Member:
        """A new member; it does not wait for an answer yet."""
        return cls(
            member_id,
            call.instance_id,
            call.client_id,
            call.client_host,
            call.session_timeout_ms,
            call.rebalance_timeout_ms,
            call.protocols,
            now_ms + call.session_timeout_ms,
        )

    def update(self, call: JoinCall, now_ms: int) -> None:
        """Take protocols and timeouts of a later JoinGroup."""
        self.protocols = call.protocols
        self.session_timeout_ms = call.session_timeout_ms
        self.rebalance_timeout_ms = call.rebalance_timeout_ms
        self.extend_session(now_ms)

    def extend_session(self, now_ms: int) -> None:
        """The session timeout begins again."""
        self.session_deadline_ms = now_ms + self.session_timeout_ms

    def metadata(self, protocol: str | None) -> bytes:
        """What the member sent for this protocol, e.g. its subscription."""
        return next((data for name, data in self.protocols if name == protocol), b"")

    def answer_join(self, result: JoinResult) -> None:
        """Answer an outstanding JoinGroup, if there is one."""
        if self.join_reply is not None:
            reply, self.join_reply = self.join_reply, None
            reply(result)

    def answer_sync(self, result: SyncResult) -> None:
        """Answer an outstanding SyncGroup, if there is one."""
        if self.sync_reply is not None:
            reply, self.sync_reply = self.sync_reply, None
            reply(result)
