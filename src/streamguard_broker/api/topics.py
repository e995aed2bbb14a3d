"""CreateTopics (19), DeleteTopics (20), CreatePartitions (37).

Behaviour
- Each topic on its own: an error of one does not affect the others. Changes are durable when they are answered.
- The replication factor must be 1 or -1 (default); assignments must name this broker, once for each partition
  (`assignments`).
- DeleteTopics deletes committed offsets too.

Version notes
- CreateTopics 4: partition count -1 is the broker's default (KIP-464). 5: the response has the configurations
  (KIP-525). 7: the topic id. CreatePartitions 3, CreateTopics 6, DeleteTopics 5: throttling, which never happens here.
- DeleteTopics 6: by name or by topic id.
"""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

from kafka.protocol.admin import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
)

from streamguard_broker.assignments import check_more_partitions, check_new_topic
from streamguard_broker.catalog import Change, Topic
from streamguard_broker.configs import TOPIC_CONFIGS
from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.registry import Call, handles

_NO_ID = uuid.UUID(int=0)


@handles(CreateTopicsRequest, 2, 7)
async def create_topics(call: Call, request: Any) -> Any:
    """Create topics, each on its own: an error of one does not affect the others."""
    names = [wanted.name for wanted in request.topics]
    results = []
    for wanted in request.topics:
        try:
            if names.count(wanted.name) > 1:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "Duplicate topic name.")
            results.append(await _create(call, wanted, validate_only=request.validate_only))
        except KafkaError as error:
            results.append(
                CreateTopicsResponse.CreatableTopicResult(
                    name=wanted.name,
                    topic_id=_NO_ID,
                    error_code=error.code,
                    error_message=error.message,
                    num_partitions=-1,
                    replication_factor=-1,
                    configs=[],
                )
            )
    return CreateTopicsResponse(throttle_time_ms=0, topics=results)


async def _create(call: Call, wanted: Any, *, validate_only: bool) -> Any:
    catalog = call.broker.catalog
    partitions = _partition_count(call, wanted)
    configs = {config.name: config.value for config in wanted.configs}
    catalog.check_new(wanted.name, partitions, configs)
    topic = None
    if not validate_only:
        topic = await call.broker.change_topics(partial(catalog.begin_create, wanted.name, partitions, configs))
    return CreateTopicsResponse.CreatableTopicResult(
        name=wanted.name,
        topic_id=topic.id if topic else _NO_ID,
        error_code=0,
        error_message=None,
        num_partitions=partitions,
        replication_factor=1,
        configs=_config_results(topic) if topic else [],
    )


def _partition_count(call: Call, wanted: Any) -> int:
    if wanted.assignments:
        if wanted.num_partitions != -1 or wanted.replication_factor != -1:
            raise KafkaError(
                ErrorCode.INVALID_REQUEST, "Both numPartitions or replicationFactor and replicasAssignments are set."
            )
        given = [(a.partition_index, list(a.broker_ids)) for a in wanted.assignments]
        return check_new_topic(given, call.broker.node_id)
    if wanted.replication_factor not in (-1, 1):
        raise KafkaError(
            ErrorCode.INVALID_REPLICATION_FACTOR,
            f"Replication factor: {wanted.replication_factor} larger than available brokers: 1."
            if wanted.replication_factor > 1
            else "Replication factor must be larger than 0.",
        )
    return call.broker.options.default_partitions if wanted.num_partitions == -1 else int(wanted.num_partitions)


def _config_results(topic: Topic) -> list[Any]:
    return [
        CreateTopicsResponse.CreatableTopicResult.CreatableTopicConfigs(
            name=name,
            value=topic.config.value(name),
            read_only=False,
            config_source=topic.config.source(name),
            is_sensitive=False,
        )
        for name, key in TOPIC_CONFIGS.items()
        if not key.retired or name in topic.config.own
    ]


@handles(DeleteTopicsRequest, 1, 6)
async def delete_topics(call: Call, request: Any) -> Any:
    """Delete topics with their records and committed offsets."""
    wanted: list[tuple[str | None, uuid.UUID]]
    if call.version >= 6:
        wanted = [(state.name, state.topic_id) for state in request.topics]
    else:
        wanted = [(name, _NO_ID) for name in request.topic_names]
    results = []
    for name, topic_id in wanted:
        code, message, found = ErrorCode.NONE, None, name
        try:
            found = await _delete(call, name, topic_id)
        except KafkaError as error:
            code, message = error.code, error.message
        results.append(
            DeleteTopicsResponse.DeletableTopicResult(
                name=found, topic_id=topic_id, error_code=code, error_message=message
            )
        )
    return DeleteTopicsResponse(throttle_time_ms=0, responses=results)


async def _delete(call: Call, name: str | None, topic_id: uuid.UUID) -> str:
    catalog = call.broker.catalog
    topic = catalog.by_id.get(topic_id) if name is None else catalog.get(name)
    if topic is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_ID if name is None else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    await call.broker.delete_topic(topic.name)
    return topic.name


@handles(CreatePartitionsRequest, 0, 3)
async def create_partitions(call: Call, request: Any) -> Any:
    """Add partitions to topics, each on its own."""
    names = [wanted.name for wanted in request.topics]
    results = []
    for wanted in {wanted.name: wanted for wanted in request.topics}.values():
        code, message = ErrorCode.NONE, None
        try:
            if names.count(wanted.name) > 1:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "Duplicate topic name.")
            await _grow(call, wanted, validate_only=request.validate_only)
        except KafkaError as error:
            code, message = error.code, error.message
        results.append(
            CreatePartitionsResponse.CreatePartitionsTopicResult(
                name=wanted.name, error_code=code, error_message=message
            )
        )
    return CreatePartitionsResponse(throttle_time_ms=0, results=results)


async def _grow(call: Call, wanted: Any, *, validate_only: bool) -> None:
    """Raises KafkaError UNKNOWN_TOPIC_OR_PARTITION, INVALID_PARTITIONS or INVALID_REPLICA_ASSIGNMENT."""
    catalog = call.broker.catalog

    def begin() -> Change[None]:
        change = catalog.begin_add_partitions(wanted.name, wanted.count)
        if wanted.assignments is not None:
            given = [list(a.broker_ids) for a in wanted.assignments]
            check_more_partitions(len(catalog.topics[wanted.name].partitions), wanted.count, given, call.broker.node_id)
        return change

    if validate_only:
        begin()
    else:
        await call.broker.change_topics(begin)
