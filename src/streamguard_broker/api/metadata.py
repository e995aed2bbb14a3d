"""Metadata (3), FindCoordinator (10): this broker is leader and coordinator of everything.

Behaviour
- A missing topic is created if broker and client allow it, with the broker's default number of partitions.
- FindCoordinator: of groups (key type 0) and transactional ids (1); others are INVALID_REQUEST.

Version notes
- Metadata 0: an empty list of topics means all; from 1 on null does. 4: the client allows creation. 8: authorized
  operations of topics (KIP-430). 10: topic ids. 13: an error code for the whole response, always 0.
- FindCoordinator 1: key types. 4: many keys (KIP-699). 6: share groups, INVALID_REQUEST.
"""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

from kafka.protocol.metadata import (
    FindCoordinatorRequest,
    FindCoordinatorResponse,
    MetadataRequest,
    MetadataResponse,
)

from streamguard_broker.api.operations import CLUSTER_OPERATIONS, TOPIC_OPERATIONS
from streamguard_broker.catalog import Topic
from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.registry import Call, handles
from streamguard_broker.storage.log import LEADER_EPOCH

_NO_ID = uuid.UUID(int=0)
_INTERNAL = frozenset({"__consumer_offsets", "__transaction_state"})


@handles(MetadataRequest, 0, 13)
def metadata(call: Call, request: Any) -> Any:
    """Brokers and topics; a missing topic is created if broker and client allow it."""
    broker = call.broker
    everything = request.topics is None or (call.version == 0 and not request.topics)
    if everything:
        return _response(call, request, [_topic(call, topic) for topic in broker.catalog.topics.values()])
    may_create = broker.options.auto_create_topics and (call.version < 4 or request.allow_auto_topic_creation)
    if may_create and any(wanted.name and broker.catalog.get(wanted.name) is None for wanted in request.topics):
        return _create_missing(call, request)
    return _response(call, request, [_asked_for(call, wanted) for wanted in request.topics])


def _response(call: Call, request: Any, topics: list[Any]) -> Any:
    broker = call.broker
    host, port = broker.advertised
    if call.version >= 8 and request.include_topic_authorized_operations:
        for topic in topics:
            topic.authorized_operations = TOPIC_OPERATIONS
    return MetadataResponse(
        throttle_time_ms=0,
        brokers=[MetadataResponse.MetadataResponseBroker(node_id=broker.node_id, host=host, port=port, rack=None)],
        cluster_id=broker.cluster_id,
        authorized_operations=CLUSTER_OPERATIONS if request.include_cluster_authorized_operations else None,
        controller_id=broker.node_id,
        topics=topics,
        error_code=0,
    )


async def _create_missing(call: Call, request: Any) -> Any:
    """Create the topics that are named and missing, and answer."""
    broker = call.broker
    topics = []
    for wanted in request.topics:
        code = ErrorCode.TOPIC_ALREADY_EXISTS
        if wanted.name and broker.catalog.get(wanted.name) is None:
            begin = partial(broker.catalog.begin_create, wanted.name, broker.options.default_partitions)
            try:
                await broker.change_topics(begin)
            except KafkaError as error:
                code = error.code
        exists = code is ErrorCode.TOPIC_ALREADY_EXISTS
        topics.append(_asked_for(call, wanted) if exists else _failed(code, wanted.name, _NO_ID))
    return _response(call, request, topics)


def _asked_for(call: Call, wanted: Any) -> Any:
    broker = call.broker
    by_id = call.version >= 10 and not wanted.name
    topic = broker.catalog.by_id.get(wanted.topic_id) if by_id else broker.catalog.get(wanted.name)
    if topic is not None:
        return _topic(call, topic)
    if by_id:
        return _failed(ErrorCode.UNKNOWN_TOPIC_ID, None, wanted.topic_id)
    try:
        broker.catalog.check_new(wanted.name, 1, {})
    except KafkaError as error:
        return _failed(error.code, wanted.name, _NO_ID)
    return _failed(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, wanted.name, _NO_ID)


def _failed(code: ErrorCode, name: str | None, topic_id: uuid.UUID) -> Any:
    return MetadataResponse.MetadataResponseTopic(
        error_code=code, name=name, topic_id=topic_id, is_internal=False, partitions=[]
    )


def _topic(call: Call, topic: Topic) -> Any:
    node = call.broker.node_id
    partition_class = MetadataResponse.MetadataResponseTopic.MetadataResponsePartition
    return MetadataResponse.MetadataResponseTopic(
        error_code=0,
        name=topic.name,
        topic_id=topic.id,
        is_internal=topic.name in _INTERNAL,
        partitions=[
            partition_class(
                error_code=0,
                partition_index=index,
                leader_id=node,
                leader_epoch=LEADER_EPOCH,
                replica_nodes=[node],
                isr_nodes=[node],
                offline_replicas=[],
            )
            for index in range(len(topic.partitions))
        ],
    )


@handles(FindCoordinatorRequest, 0, 6)
def find_coordinator(call: Call, request: Any) -> Any:
    """Of groups (key type 0) and transactions (1); share groups (2) are not supported."""
    broker = call.broker
    host, port = broker.advertised
    key_type = request.key_type if call.version >= 1 else 0
    known = key_type in (0, 1)
    code = ErrorCode.NONE if known else ErrorCode.INVALID_REQUEST
    message = None if known else f"Unsupported coordinator key type {key_type}."
    if call.version < 4:
        return FindCoordinatorResponse(
            throttle_time_ms=0, error_code=code, error_message=message, node_id=broker.node_id, host=host, port=port
        )
    return FindCoordinatorResponse(
        throttle_time_ms=0,
        coordinators=[
            FindCoordinatorResponse.Coordinator(
                key=key, node_id=broker.node_id, host=host, port=port, error_code=code, error_message=message
            )
            for key in request.coordinator_keys
        ],
    )
