"""ConsumerGroupHeartbeat (68), ConsumerGroupDescribe (69): the wire side of `groups.consumer_group` (KIP-848).

Behaviour
- One request does what JoinGroup, SyncGroup, Heartbeat and LeaveGroup do in the classic protocol. It is answered at
  once, when what it changed is synced to disk.
- Session timeout and heartbeat interval are start options, the same for all groups.
- A group with members of the classic protocol is GROUP_ID_NOT_FOUND: migration of running groups is not supported
  (`group.consumer.migration.policy` is disabled). An empty one changes its protocol, and keeps its offsets.

Version notes
- ConsumerGroupHeartbeat 0: a member without an id gets one. 1: the client makes its id (KIP-1082), and may subscribe by a
  regular expression, of RE2 (`patterns`).
- ConsumerGroupDescribe 1: the type of each member; all are of the consumer protocol.
"""

from __future__ import annotations

import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from typing import Any

from streamguard_broker.api.operations import GROUP_OPERATIONS
from streamguard_broker.broker import Broker
from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.groups.assignors import ASSIGNORS, Partition, TopicInfo
from streamguard_broker.groups.consumer_group import ConsumerGroup, HeartbeatResult
from streamguard_broker.groups.consumer_member import JOIN_EPOCH, STATIC_LEAVE_EPOCH, ConsumerMember, HeartbeatCall
from streamguard_broker.registry import Call, handles
from streamguard_broker.schemas import (
    ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
)

_NO_OPERATIONS = -(2**31)
_CONSUMER_MEMBER = 1


_Assignment = ConsumerGroupHeartbeatResponse.Assignment
_Described = ConsumerGroupDescribeResponse.DescribedGroup


class CatalogMetadata:
    """The topics of the broker, as groups ask for them."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def topic(self, name: str) -> TopicInfo | None:
        found = self._broker.catalog.get(name)
        return None if found is None else TopicInfo(found.id, len(found.partitions))

    def matching(self, pattern: str) -> frozenset[str]:
        return self._broker.patterns.matching(pattern)


@handles(ConsumerGroupHeartbeatRequest, 0, 1)
async def consumer_group_heartbeat(call: Call, request: Any) -> Any:
    """A member joins (epoch 0), goes on, leaves (-1), or leaves for now (-2, static members)."""
    try:
        heartbeat = _read(call, request)
        result = await _apply(call, request.group_id, heartbeat)
    except KafkaError as error:
        return ConsumerGroupHeartbeatResponse(
            throttle_time_ms=0,
            error_code=error.code,
            error_message=error.message,
            member_id=None,
            member_epoch=0,
            heartbeat_interval_ms=0,
            assignment=None,
        )
    leaves = result.epoch < 0
    return ConsumerGroupHeartbeatResponse(
        throttle_time_ms=0,
        error_code=0,
        error_message=None,
        member_id=result.member_id,
        member_epoch=result.epoch,
        heartbeat_interval_ms=0 if leaves else call.broker.options.group_consumer_heartbeat_interval_ms,
        assignment=None if result.assignment is None else _Assignment(topic_partitions=_by_topic(result.assignment)),
    )


def _by_topic(partitions: Iterable[Partition]) -> list[Any]:
    return [
        _Assignment.TopicPartitions(topic_id=topic, partitions=indexes)
        for topic, indexes in _grouped(partitions).items()
    ]


def _grouped(partitions: Iterable[Partition]) -> dict[uuid.UUID, list[int]]:
    grouped: dict[uuid.UUID, list[int]] = {}
    for topic, index in sorted(partitions):
        grouped.setdefault(topic, []).append(index)
    return grouped


def _read(call: Call, request: Any) -> HeartbeatCall:
    """The request as a call of the state machine. Raises KafkaError for what no state accepts."""
    _check(call, request)
    topics = request.subscribed_topic_names
    owned = request.topic_partitions
    return HeartbeatCall(
        member_id=request.member_id or urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="),
        epoch=request.member_epoch,
        client_id=call.client_id,
        client_host=f"/{call.caller.host}",
        instance_id=request.instance_id,
        rack_id=request.rack_id,
        rebalance_timeout_ms=request.rebalance_timeout_ms,
        topics=None if topics is None else frozenset(topics),
        pattern=request.subscribed_topic_regex if call.version >= 1 else None,
        assignor=request.server_assignor,
        owned=None if owned is None else frozenset((t.topic_id, index) for t in owned for index in t.partitions),
    )


def _check(call: Call, request: Any) -> None:
    """Raises KafkaError INVALID_REQUEST or UNSUPPORTED_ASSIGNOR."""
    epoch = request.member_epoch
    _require(request.group_id, "The group id is empty.")
    _require(request.member_id or (call.version == 0 and epoch == JOIN_EPOCH), "The member id is empty.")
    _require(request.instance_id != "", "The instance id is empty.")
    _require(request.rack_id != "", "The rack id is empty.")
    _require(epoch >= STATIC_LEAVE_EPOCH, f"The member epoch {epoch} is invalid.")
    if epoch == STATIC_LEAVE_EPOCH:
        _require(request.instance_id is not None, "A member that leaves for now has no instance id.")
    if epoch == JOIN_EPOCH:
        pattern = request.subscribed_topic_regex if call.version >= 1 else None
        _require(request.rebalance_timeout_ms > 0, "A member that joins has no rebalance timeout.")
        _require(
            request.topic_partitions == [], "A member that joins has partitions, or does not say that it has none."
        )
        _require(
            request.subscribed_topic_names is not None or pattern is not None, "A member that joins has no topics."
        )
    if request.server_assignor is not None and request.server_assignor not in ASSIGNORS:
        raise KafkaError(
            ErrorCode.UNSUPPORTED_ASSIGNOR,
            f"There is no assignor {request.server_assignor!r}; there are {', '.join(ASSIGNORS)}.",
        )


def _require(holds: object, message: str) -> None:
    if not holds:
        raise KafkaError(ErrorCode.INVALID_REQUEST, message)


async def _apply(call: Call, group_id: str, heartbeat: HeartbeatCall) -> HeartbeatResult:
    """Raises KafkaError. What changes is synced; a heartbeat without news does not wait for the disk.

    Patterns are matched first, for that takes time in which the group may change.
    """
    broker = call.broker
    if heartbeat.pattern:
        await broker.patterns.refresh([heartbeat.pattern], broker.catalog.topics)
    known = broker.groups.find(group_id)
    if isinstance(known, ConsumerGroup):
        await broker.patterns.refresh(known.patterns, broker.catalog.topics)
    group = broker.groups.consumer(group_id) if heartbeat.epoch == JOIN_EPOCH else _existing(call, group_id)
    stored = broker.offsets.log.next_offset
    result = group.heartbeat(heartbeat, CatalogMetadata(broker), broker.clock.monotonic_ms())
    if broker.offsets.log.next_offset != stored:
        try:
            await broker.flusher.flush(broker.offsets.log)
        except KafkaError as error:
            raise KafkaError(ErrorCode.COORDINATOR_NOT_AVAILABLE, error.message) from error
    return result


def _existing(call: Call, group_id: str) -> ConsumerGroup:
    group = call.broker.groups.find(group_id)
    if not isinstance(group, ConsumerGroup):
        raise KafkaError(ErrorCode.GROUP_ID_NOT_FOUND, f"There is no group {group_id} of the consumer protocol.")
    return group


@handles(ConsumerGroupDescribeRequest, 0, 1)
def consumer_group_describe(call: Call, request: Any) -> Any:
    """State, epochs, and of each member what it subscribes to, has and should have."""
    groups = [_describe(call, group_id) for group_id in request.group_ids]
    if request.include_authorized_operations:
        for group in groups:
            if group.error_code == ErrorCode.NONE:
                group.authorized_operations = sum(1 << operation for operation in GROUP_OPERATIONS)
    return ConsumerGroupDescribeResponse(throttle_time_ms=0, groups=groups)


def _describe(call: Call, group_id: str) -> Any:
    code, message, group = ErrorCode.NONE, None, None
    try:
        if not group_id:
            raise KafkaError(ErrorCode.INVALID_GROUP_ID, "The group id is empty.")
        group = _existing(call, group_id)
    except KafkaError as error:
        code, message = error.code, error.message
    names = {topic.id: topic.name for topic in call.broker.catalog.topics.values()} if group else {}
    return _Described(
        error_code=code,
        error_message=message,
        group_id=group_id,
        group_state="" if group is None else group.state.value,
        group_epoch=0 if group is None else group.epoch,
        assignment_epoch=0 if group is None else group.target_epoch,
        assignor_name="" if group is None else group.assignor,
        members=[] if group is None else [_describe_member(group, m, names) for m in group.members.values()],
        authorized_operations=_NO_OPERATIONS,
    )


def _describe_member(group: ConsumerGroup, member: ConsumerMember, names: dict[uuid.UUID, str]) -> Any:
    member_class = _Described.Member

    def assignment(partitions: Iterable[Partition]) -> Any:
        return member_class.Assignment(
            topic_partitions=[
                member_class.Assignment.TopicPartitions(topic_id=topic, topic_name=names[topic], partitions=indexes)
                for topic, indexes in _grouped(partitions).items()
                if topic in names
            ]
        )

    return member_class(
        member_id=member.member_id,
        instance_id=member.instance_id,
        rack_id=member.rack_id,
        member_epoch=member.epoch,
        client_id=member.client_id,
        client_host=member.client_host,
        subscribed_topic_names=sorted(member.topics),
        subscribed_topic_regex=member.pattern or "",
        assignment=assignment(member.assigned),
        target_assignment=assignment(group.target.get(member.member_id, ())),
        member_type=_CONSUMER_MEMBER,
    )
