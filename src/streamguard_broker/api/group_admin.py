"""DescribeGroups (15), ListGroups (16), DeleteGroups (42).

Behaviour
- Member metadata and assignments are shown in state Stable only. DescribeGroups knows no groups of the consumer protocol:
  ConsumerGroupDescribe does.
- DeleteGroups requires an empty group, and is answered when the deletion is synced.

Version notes
- DescribeGroups 0 to 5: an unknown group is in state Dead, without an error. 6: GROUP_ID_NOT_FOUND (KIP-1043).
  3: authorized operations. 4: instance ids.
- ListGroups 4: filter by state (KIP-518). 5: filter by type, "classic" or "consumer" (KIP-848).
"""

from __future__ import annotations

from typing import Any

from kafka.protocol.admin import (
    DeleteGroupsRequest,
    DeleteGroupsResponse,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
    ListGroupsRequest,
    ListGroupsResponse,
)

from streamguard_broker.api.operations import GROUP_OPERATIONS
from streamguard_broker.errors import ErrorCode
from streamguard_broker.groups.consumer_group import ConsumerGroup
from streamguard_broker.groups.coordinator import AnyGroup
from streamguard_broker.groups.states import GroupState
from streamguard_broker.registry import Call, handles

_Described = DescribeGroupsResponse.DescribedGroup


@handles(DescribeGroupsRequest, 0, 6)
def describe_groups(call: Call, request: Any) -> Any:
    """State and members; an unknown group is Dead (from version 6 on with GROUP_ID_NOT_FOUND, KIP-1043)."""
    groups = [_describe(call, group_id) for group_id in request.groups]
    if call.version >= 3 and request.include_authorized_operations:
        for group in groups:
            group.authorized_operations = GROUP_OPERATIONS
    return DescribeGroupsResponse(throttle_time_ms=0, groups=groups)


def _describe(call: Call, group_id: str) -> Any:
    group = call.broker.groups.find_classic(group_id)
    if group is None:
        missing = call.version >= 6
        return _Described(
            error_code=ErrorCode.GROUP_ID_NOT_FOUND if missing else ErrorCode.NONE,
            error_message=f"There is no group {group_id} of the classic protocol." if missing else None,
            group_id=group_id,
            group_state=GroupState.DEAD.value,
            protocol_type="",
            protocol_data="",
            members=[],
        )
    settled = group.state is GroupState.STABLE
    return _Described(
        error_code=0,
        error_message=None,
        group_id=group_id,
        group_state=group.state.value,
        protocol_type=group.protocol_type or "",
        protocol_data=(group.protocol_name or "") if settled else "",
        members=[
            _Described.DescribedGroupMember(
                member_id=member.member_id,
                group_instance_id=member.instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                member_metadata=member.metadata(group.protocol_name) if settled else b"",
                member_assignment=member.assignment if settled else b"",
            )
            for member in group.members.values()
        ],
    )


@handles(ListGroupsRequest, 0, 5)
def list_groups(call: Call, request: Any) -> Any:
    """All groups, or those in the states and of the types asked for."""
    states = {state.lower() for state in request.states_filter} if call.version >= 4 else set()
    types = {kind.lower() for kind in request.types_filter} if call.version >= 5 else set()
    listed = [group for group in call.broker.groups.groups.values() if not types or group.kind in types]
    return ListGroupsResponse(
        throttle_time_ms=0,
        error_code=0,
        groups=[_listed(group) for group in listed if not states or group.state.value.lower() in states],
    )


def _listed(group: AnyGroup) -> Any:
    return ListGroupsResponse.ListedGroup(
        group_id=group.group_id,
        protocol_type="consumer" if isinstance(group, ConsumerGroup) else group.protocol_type or "",
        group_state=group.state.value,
        group_type=group.kind,
    )


@handles(DeleteGroupsRequest, 0, 2)
async def delete_groups(call: Call, request: Any) -> Any:
    """Remove empty groups with their offsets."""
    results = [
        DeleteGroupsResponse.DeletableGroupResult(group_id=group_id, error_code=call.broker.groups.delete(group_id))
        for group_id in request.groups_names
    ]
    await call.broker.flusher.flush(call.broker.offsets.log)
    return DeleteGroupsResponse(throttle_time_ms=0, results=results)
