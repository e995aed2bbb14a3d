"""DescribeAcls (29), CreateAcls (30), DeleteAcls (31), ElectLeaders (43), ListPartitionReassignments (46),
DescribeClientQuotas (48), ListConfigResources (74), DescribeTopicPartitions (75).

Behaviour
- APIs without much to say on one node, answered because tools call them, as a one-node Kafka without authorizer and
  quotas answers: SECURITY_DISABLED for ACLs, ELECTION_NOT_NEEDED, no reassignments, no quotas.
- DescribeTopicPartitions has topics in order of name, up to the partition limit, with a cursor for the rest (KIP-966).

Version notes
- ListConfigResources 0 asks for client metrics only, which have no configurations here. 1: resource types (KIP-1142).
"""

from __future__ import annotations

from typing import Any

from kafka.protocol.admin import (
    CreateAclsRequest,
    CreateAclsResponse,
    DeleteAclsRequest,
    DeleteAclsResponse,
    DescribeAclsRequest,
    DescribeAclsResponse,
    DescribeClientQuotasRequest,
    DescribeClientQuotasResponse,
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
    ElectLeadersRequest,
    ElectLeadersResponse,
    ListConfigResourcesRequest,
    ListConfigResourcesResponse,
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
)

from streamguard_broker.api.operations import TOPIC_OPERATIONS
from streamguard_broker.catalog import Topic
from streamguard_broker.errors import ErrorCode
from streamguard_broker.registry import Call, handles
from streamguard_broker.storage.log import LEADER_EPOCH

_NO_AUTHORIZER = "No Authorizer is configured."
_TOPIC_RESOURCE, _BROKER_RESOURCE = 2, 4


@handles(DescribeAclsRequest, 1, 3)
def describe_acls(call: Call, request: Any) -> Any:
    """SECURITY_DISABLED, as Kafka answers without an authorizer."""
    return DescribeAclsResponse(
        throttle_time_ms=0, error_code=ErrorCode.SECURITY_DISABLED, error_message=_NO_AUTHORIZER, resources=[]
    )


@handles(CreateAclsRequest, 1, 3)
def create_acls(call: Call, request: Any) -> Any:
    """SECURITY_DISABLED for each."""
    disabled = CreateAclsResponse.AclCreationResult(
        error_code=ErrorCode.SECURITY_DISABLED, error_message=_NO_AUTHORIZER
    )
    return CreateAclsResponse(throttle_time_ms=0, results=[disabled for _ in request.creations])


@handles(DeleteAclsRequest, 1, 3)
def delete_acls(call: Call, request: Any) -> Any:
    """SECURITY_DISABLED for each."""
    disabled = DeleteAclsResponse.DeleteAclsFilterResult(
        error_code=ErrorCode.SECURITY_DISABLED, error_message=_NO_AUTHORIZER, matching_acls=[]
    )
    return DeleteAclsResponse(throttle_time_ms=0, filter_results=[disabled for _ in request.filters])


@handles(DescribeClientQuotasRequest, 0, 1)
def describe_client_quotas(call: Call, request: Any) -> Any:
    """Always empty: quotas are not supported."""
    return DescribeClientQuotasResponse(throttle_time_ms=0, error_code=0, error_message=None, entries=[])


@handles(ElectLeadersRequest, 0, 2)
def elect_leaders(call: Call, request: Any) -> Any:
    """ELECTION_NOT_NEEDED: this broker leads every partition."""
    result_class = ElectLeadersResponse.ReplicaElectionResult
    wanted = request.topic_partitions or []
    return ElectLeadersResponse(
        throttle_time_ms=0,
        error_code=0,
        replica_election_results=[
            result_class(
                topic=topic.topic,
                partition_result=[
                    result_class.PartitionResult(
                        partition_id=index,
                        error_code=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                        if call.broker.catalog.partition(topic.topic, index) is None
                        else ErrorCode.ELECTION_NOT_NEEDED,
                        error_message=None,
                    )
                    for index in topic.partitions
                ],
            )
            for topic in wanted
        ],
    )


@handles(ListPartitionReassignmentsRequest, 0, 0)
def list_partition_reassignments(call: Call, request: Any) -> Any:
    """Always empty: replicas do not move."""
    return ListPartitionReassignmentsResponse(throttle_time_ms=0, error_code=0, error_message=None, topics=[])


@handles(ListConfigResourcesRequest, 0, 1)
def list_config_resources(call: Call, request: Any) -> Any:
    """Topics and the broker; client metrics (all that version 0 asks for) have no configurations here."""
    types = set(request.resource_types) if call.version >= 1 else {16}
    every = call.version >= 1 and not types
    resource_class = ListConfigResourcesResponse.ConfigResource
    resources = []
    if every or _TOPIC_RESOURCE in types:
        resources += [resource_class(resource_name=name, resource_type=2) for name in call.broker.catalog.topics]
    if every or _BROKER_RESOURCE in types:
        resources.append(resource_class(resource_name=str(call.broker.node_id), resource_type=4))
    return ListConfigResourcesResponse(throttle_time_ms=0, error_code=0, config_resources=resources)


@handles(DescribeTopicPartitionsRequest, 0, 0)
def describe_topic_partitions(call: Call, request: Any) -> Any:
    """Topics in order of name, up to the partition limit, with a cursor for the rest (KIP-966)."""
    catalog = call.broker.catalog
    names = sorted({topic.name for topic in request.topics} or set(catalog.topics))
    start_topic, start_partition = "", 0
    if request.cursor is not None:
        start_topic, start_partition = request.cursor.topic_name, max(0, request.cursor.partition_index)
    left = max(1, min(request.response_partition_limit, 2000))
    topics, next_cursor = [], None
    for name in names:
        if name < start_topic:
            continue
        topic = catalog.get(name)
        if topic is None:
            topics.append(_unknown(name))
            continue
        first = start_partition if name == start_topic else 0
        if left == 0:
            next_cursor = DescribeTopicPartitionsResponse.Cursor(topic_name=name, partition_index=first)
            break
        end = min(len(topic.partitions), first + left)
        topics.append(_topic_partitions(call, topic, range(first, end)))
        left -= end - first
        if end < len(topic.partitions):
            next_cursor = DescribeTopicPartitionsResponse.Cursor(topic_name=name, partition_index=end)
            break
    return DescribeTopicPartitionsResponse(throttle_time_ms=0, topics=topics, next_cursor=next_cursor)


def _unknown(name: str) -> Any:
    return DescribeTopicPartitionsResponse.DescribeTopicPartitionsResponseTopic(
        error_code=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, name=name, partitions=[]
    )


def _topic_partitions(call: Call, topic: Topic, indexes: range) -> Any:
    node = call.broker.node_id
    topic_class = DescribeTopicPartitionsResponse.DescribeTopicPartitionsResponseTopic
    return topic_class(
        error_code=0,
        name=topic.name,
        topic_id=topic.id,
        is_internal=False,
        topic_authorized_operations=sum(1 << operation for operation in TOPIC_OPERATIONS),
        partitions=[
            topic_class.DescribeTopicPartitionsResponsePartition(
                error_code=0,
                partition_index=index,
                leader_id=node,
                leader_epoch=LEADER_EPOCH,
                replica_nodes=[node],
                isr_nodes=[node],
                eligible_leader_replicas=[],
                last_known_elr=[],
                offline_replicas=[],
            )
            for index in indexes
        ],
    )
