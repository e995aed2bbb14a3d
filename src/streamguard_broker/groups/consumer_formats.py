"""A group of the consumer protocol as one record of the state log: JSON, whole at each change."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import orjson

from streamguard_broker.groups.assignors import Partition, TopicInfo
from streamguard_broker.groups.consumer_group import ConsumerGroup
from streamguard_broker.groups.consumer_member import ConsumerMember, MemberState

_PLAIN = (
    "member_id", "instance_id", "client_id", "client_host", "rack_id", "rebalance_timeout_ms", "pattern", "assignor",
    "epoch", "previous_epoch",
)  # fmt: skip


def encode_consumer_group(group: ConsumerGroup) -> bytes:
    """All that must survive a restart."""
    return orjson.dumps(
        {
            "epoch": group.epoch,
            "target_epoch": group.target_epoch,
            "target": {member: _encode_partitions(partitions) for member, partitions in group.target.items()},
            "subscriptions": {member: sorted(names) for member, names in group.subscriptions.items()},
            "topics": {name: [str(topic.id), topic.partitions] for name, topic in group.topics.items()},
            "members": [_encode_member(member) for member in group.members.values()],
        }
    )


def _encode_member(member: ConsumerMember) -> dict[str, Any]:
    return {
        **{name: getattr(member, name) for name in _PLAIN},
        "topics": sorted(member.topics),
        "state": member.state.value,
        "assigned": _encode_partitions(member.assigned),
        "revoking": _encode_partitions(member.revoking),
    }


def _encode_partitions(partitions: Iterable[Partition]) -> list[list[Any]]:
    return [[str(topic), index] for topic, index in sorted(partitions)]


def _decode_partitions(items: list[list[Any]]) -> frozenset[Partition]:
    return frozenset((uuid.UUID(topic), index) for topic, index in items)


def restore_consumer_group(group: ConsumerGroup, value: bytes, monotonic_ms: int, session_timeout_ms: int) -> None:
    """Restore an empty group; session and rebalance timeouts of its members begin now."""
    stored = orjson.loads(value)
    group.epoch, group.target_epoch = stored["epoch"], stored["target_epoch"]
    group.target = {member: _decode_partitions(items) for member, items in stored["target"].items()}
    group.subscriptions = {member: frozenset(names) for member, names in stored["subscriptions"].items()}
    group.topics = {name: TopicInfo(uuid.UUID(topic), count) for name, (topic, count) in stored["topics"].items()}
    for fields in stored["members"]:
        member = ConsumerMember(
            **{name: fields[name] for name in _PLAIN},
            topics=frozenset(fields["topics"]),
            state=MemberState(fields["state"]),
            assigned=_decode_partitions(fields["assigned"]),
            revoking=_decode_partitions(fields["revoking"]),
            session_deadline_ms=monotonic_ms + session_timeout_ms,
        )
        if member.state is MemberState.REVOKING:
            member.revoke_deadline_ms = monotonic_ms + member.rebalance_timeout_ms
        group.members[member.member_id] = member
        if member.instance_id is not None:
            group.static[member.instance_id] = member.member_id
    group.empty_since_ms = None if group.members else monotonic_ms
