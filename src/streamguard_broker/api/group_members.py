"""JoinGroup (11), Heartbeat (12), LeaveGroup (13), SyncGroup (14): the wire side of `groups.group`.

Behaviour
- JoinGroup is answered when all members have joined or the rebalance timeout is over, SyncGroup when the leader has
  sent the assignments and the generation is synced to disk.
- A connection that closes while it waits leaves its member to the session timeout.
- A session timeout outside `group.min.session.timeout.ms` to `group.max.session.timeout.ms` (start options) is
  INVALID_SESSION_TIMEOUT.
- Groups of the classic protocol: those of KIP-848 are in `api.consumer_groups`. While such a group has members, JoinGroup
  is INCONSISTENT_GROUP_PROTOCOL; LeaveGroup removes its members too, for tools.

Version notes
- JoinGroup 0: the session timeout is the rebalance timeout too. 4: a new member gets its id first, with
  MEMBER_ID_REQUIRED (KIP-394). 5: instance ids (KIP-345). 7: the protocol type. 8: the reason, ignored. 9: a static
  leader may skip the assignment (KIP-814).
- SyncGroup 3, Heartbeat 3: instance ids. SyncGroup 5: protocol type and name must match (KIP-559).
- LeaveGroup 3: many members, also by instance id alone. 5: reasons, ignored.
"""

from __future__ import annotations

import asyncio
from typing import Any

from kafka.protocol.consumer import (
    HeartbeatRequest,
    HeartbeatResponse,
    JoinGroupRequest,
    JoinGroupResponse,
    LeaveGroupRequest,
    LeaveGroupResponse,
    SyncGroupRequest,
    SyncGroupResponse,
)

from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.groups.group import Group
from streamguard_broker.groups.member import JoinCall, JoinResult, SyncResult
from streamguard_broker.registry import Call, handles


def _reply_to(future: asyncio.Future[Any]) -> Any:
    """A reply function that completes `future`; the group may call it after the client has disconnected."""

    def reply(result: Any) -> None:
        if not future.done():
            future.set_result(result)

    return reply


async def _answer(call: Call, group: Group, future: asyncio.Future[Any], reply: Any) -> Any:
    """Wait for the group's reply; a connection that closes meanwhile is removed from those that wait."""
    try:
        return await future
    except asyncio.CancelledError:
        group.abandon(reply, call.broker.clock.monotonic_ms())
        raise


@handles(JoinGroupRequest, 0, 9)
async def join_group(call: Call, request: Any) -> Any:
    """Answered when all members have joined, or the rebalance timeout is over."""
    if not request.group_id:
        return _join_response(call.version, JoinResult(ErrorCode.INVALID_GROUP_ID, request.member_id))
    options = call.broker.options
    shortest_ms, longest_ms = options.group_min_session_timeout_ms, options.group_max_session_timeout_ms
    if not shortest_ms <= request.session_timeout_ms <= longest_ms:
        return _join_response(call.version, JoinResult(ErrorCode.INVALID_SESSION_TIMEOUT, request.member_id))
    try:
        group = call.broker.groups.classic(request.group_id)
    except KafkaError as error:
        return _join_response(call.version, JoinResult(error.code, request.member_id))
    future: asyncio.Future[JoinResult] = asyncio.get_running_loop().create_future()
    reply = _reply_to(future)
    rebalance_timeout_ms = request.rebalance_timeout_ms if call.version >= 1 else request.session_timeout_ms
    group.join(
        JoinCall(
            member_id=request.member_id,
            instance_id=request.group_instance_id if call.version >= 5 else None,
            client_id=call.client_id,
            client_host=f"/{call.caller.host}",
            session_timeout_ms=request.session_timeout_ms,
            rebalance_timeout_ms=rebalance_timeout_ms,
            protocol_type=request.protocol_type,
            protocols=[(protocol.name, bytes(protocol.metadata)) for protocol in request.protocols],
            reply=reply,
            requires_known_id=call.version >= 4,
        ),
        call.broker.clock.monotonic_ms(),
    )
    return _join_response(call.version, await _answer(call, group, future, reply))


def _join_response(version: int, result: JoinResult) -> Any:
    return JoinGroupResponse(
        throttle_time_ms=0,
        error_code=result.error,
        generation_id=result.generation,
        protocol_type=result.protocol_type,
        protocol_name=result.protocol_name if version >= 7 else result.protocol_name or "",
        leader=result.leader,
        skip_assignment=result.skip_assignment,
        member_id=result.member_id,
        members=[
            JoinGroupResponse.JoinGroupResponseMember(member_id=member, group_instance_id=instance, metadata=metadata)
            for member, instance, metadata in result.members
        ],
    )


@handles(SyncGroupRequest, 0, 5)
async def sync_group(call: Call, request: Any) -> Any:
    """Answered when the leader has sent the assignments."""
    group = call.broker.groups.find_classic(request.group_id)
    if group is None:
        return _sync_response(SyncResult(ErrorCode.UNKNOWN_MEMBER_ID))
    if call.version >= 5 and _protocol_differs(group, request):
        return _sync_response(SyncResult(ErrorCode.INCONSISTENT_GROUP_PROTOCOL))
    future: asyncio.Future[SyncResult] = asyncio.get_running_loop().create_future()
    reply = _reply_to(future)
    group.sync(
        request.member_id,
        request.group_instance_id if call.version >= 3 else None,
        request.generation_id,
        {assignment.member_id: bytes(assignment.assignment) for assignment in request.assignments},
        reply,
        call.broker.clock.monotonic_ms(),
    )
    result = await _answer(call, group, future, reply)
    if result.error is ErrorCode.NONE:
        await call.broker.flusher.flush(call.broker.offsets.log)
    return _sync_response(result)


def _protocol_differs(group: Group, request: Any) -> bool:
    """Whether the request has another protocol than the generation (KIP-559)."""
    wrong_type = request.protocol_type is not None and group.protocol_type not in (None, request.protocol_type)
    wrong_name = request.protocol_name is not None and group.protocol_name not in (None, request.protocol_name)
    return wrong_type or wrong_name


def _sync_response(result: SyncResult) -> Any:
    return SyncGroupResponse(
        throttle_time_ms=0,
        error_code=result.error,
        protocol_type=result.protocol_type,
        protocol_name=result.protocol_name,
        assignment=result.assignment,
    )


@handles(HeartbeatRequest, 0, 4)
def heartbeat(call: Call, request: Any) -> Any:
    """Extends a member's session; REBALANCE_IN_PROGRESS while members rejoin."""
    group = call.broker.groups.find_classic(request.group_id)
    code = ErrorCode.UNKNOWN_MEMBER_ID
    if group is not None:
        instance_id = request.group_instance_id if call.version >= 3 else None
        now_ms = call.broker.clock.monotonic_ms()
        code = group.heartbeat(request.member_id, instance_id, request.generation_id, now_ms)
    return HeartbeatResponse(throttle_time_ms=0, error_code=code)


@handles(LeaveGroupRequest, 0, 5)
def leave_group(call: Call, request: Any) -> Any:
    """One member before version 3, any number from then on."""
    group = call.broker.groups.find(request.group_id)
    now_ms = call.broker.clock.monotonic_ms()
    if call.version < 3:
        code = ErrorCode.UNKNOWN_MEMBER_ID if group is None else group.leave(request.member_id, None, now_ms)
        return LeaveGroupResponse(throttle_time_ms=0, error_code=code)
    members = [
        LeaveGroupResponse.MemberResponse(
            member_id=member.member_id,
            group_instance_id=member.group_instance_id,
            error_code=ErrorCode.UNKNOWN_MEMBER_ID
            if group is None
            else group.leave(member.member_id, member.group_instance_id, now_ms),
        )
        for member in request.members
    ]
    return LeaveGroupResponse(throttle_time_ms=0, error_code=0, members=members)
