"""OffsetCommit (8), OffsetFetch (9), OffsetDelete (47).

Behaviour
- Commits are answered when they are synced. A member must be of the current generation; without a generation (-1) the
  group must be empty. Each commit of a member extends its session.
- Metadata has at most 4,096 bytes. Retention is that of the broker, from when the group is empty.
- OffsetDelete requires an empty classic group: subscriptions of its members are not decoded here. Of a group of the
  consumer protocol, topics that a member subscribes to are GROUP_SUBSCRIBED_TO_TOPIC.
- A wrong epoch of a member of the consumer protocol is STALE_MEMBER_EPOCH.

Version notes
- OffsetCommit 2 to 4: the retention time is ignored. 7: instance ids (KIP-345). 9: epochs of members (KIP-848), without
  which a member of a group of the consumer protocol gets UNSUPPORTED_VERSION. 10: topic ids.
- OffsetFetch 2: null means all topics. 7: `require_stable` (KIP-447): UNSTABLE_OFFSET_COMMIT while a transaction has
  an offset of the partition. 8: many groups. 9: epochs of members of the consumer protocol. 10: topic ids.
"""

from __future__ import annotations

import uuid
from typing import Any

from kafka.protocol.consumer import (
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetFetchRequest,
    OffsetFetchResponse,
)

from streamguard_broker.broker import Broker
from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.groups.consumer_group import ConsumerGroup
from streamguard_broker.groups.coordinator import AnyGroup
from streamguard_broker.groups.formats import Committed, TopicPartition
from streamguard_broker.groups.group import Group
from streamguard_broker.groups.states import GroupState
from streamguard_broker.registry import Call, handles

MAX_METADATA_BYTES = 4096
_MEMBER_EPOCHS = 9
_BY_ID = 10


def _topic_name(call: Call, topic: Any) -> str | None:
    """The name of a topic given by name or, from version 10 on, by id; None if the id is unknown."""
    if call.version < _BY_ID:
        return str(topic.name)
    found = call.broker.catalog.by_id.get(topic.topic_id)
    return None if found is None else found.name


def _topic_id(call: Call, topic: Any) -> uuid.UUID | None:
    return topic.topic_id if call.version >= _BY_ID else None


def commit_codes(
    call: Call, topic: str | None, partitions: list[Any], error: ErrorCode, accepted: dict[TopicPartition, Committed]
) -> list[tuple[int, ErrorCode]]:
    """Check each partition of one topic; what may be stored is added to `accepted`. Returns (partition, code)."""
    now_ms = call.broker.clock.wall_ms()
    codes = []
    for asked in partitions:
        code = error
        metadata = asked.committed_metadata or ""
        if code is ErrorCode.NONE and topic is None:
            code = ErrorCode.UNKNOWN_TOPIC_ID
        elif code is ErrorCode.NONE and call.broker.catalog.partition(topic or "", asked.partition_index) is None:
            code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        elif code is ErrorCode.NONE and len(metadata.encode()) > MAX_METADATA_BYTES:
            code = ErrorCode.OFFSET_METADATA_TOO_LARGE
        if code is ErrorCode.NONE and topic is not None:
            accepted[topic, asked.partition_index] = Committed(
                asked.committed_offset, asked.committed_leader_epoch, metadata, now_ms
            )
        codes.append((asked.partition_index, code))
    return codes


@handles(OffsetCommitRequest, 2, 10)
async def offset_commit(call: Call, request: Any) -> Any:
    """Store offsets; a member must be of the group's current generation."""
    broker = call.broker
    error = _commit_error(call, request)
    accepted: dict[TopicPartition, Committed] = {}
    topics = [
        (topic, commit_codes(call, _topic_name(call, topic), topic.partitions, error, accepted))
        for topic in request.topics
    ]
    failure = ErrorCode.NONE
    if accepted:
        try:
            broker.groups.group(request.group_id)
            await commit(broker, request.group_id, accepted)
        except KafkaError:
            failure = ErrorCode.COORDINATOR_NOT_AVAILABLE
    topic_class = OffsetCommitResponse.OffsetCommitResponseTopic
    return OffsetCommitResponse(
        throttle_time_ms=0,
        topics=[
            topic_class(
                name=topic.name,
                topic_id=topic.topic_id,
                partitions=[
                    topic_class.OffsetCommitResponsePartition(partition_index=index, error_code=code or failure)
                    for index, code in codes
                ],
            )
            for topic, codes in topics
        ],
    )


async def commit(broker: Broker, group: str, offsets: dict[TopicPartition, Committed]) -> None:
    """Store offsets: others see them once they are on disk. Raises KafkaError KAFKA_STORAGE_ERROR, nothing changed."""
    queued = broker.offsets.begin_commit(group, offsets)
    stored = False
    try:
        await broker.flusher.flush(broker.offsets.log)
        stored = True
    finally:
        broker.offsets.end_commit(queued, stored=stored)


def _commit_error(call: Call, request: Any) -> ErrorCode:
    generation = request.generation_id_or_member_epoch
    group = call.broker.groups.find(request.group_id)
    if group is None and generation >= 0:
        return ErrorCode.GROUP_ID_NOT_FOUND if call.version >= _MEMBER_EPOCHS else ErrorCode.ILLEGAL_GENERATION
    if group is None:
        return ErrorCode.NONE
    instance_id = request.group_instance_id if call.version >= 7 else None
    code = group.commit_error(request.member_id, instance_id, generation, call.broker.clock.monotonic_ms())
    knows_epochs = isinstance(group, Group) or call.version >= _MEMBER_EPOCHS or generation < 0
    return code if knows_epochs or code is ErrorCode.UNKNOWN_MEMBER_ID else ErrorCode.UNSUPPORTED_VERSION


@handles(OffsetFetchRequest, 1, 10)
def offset_fetch(call: Call, request: Any) -> Any:
    """Committed offsets of one group, or (version 8 and on) of several; -1 where nothing was committed."""
    stable = call.version >= 7 and request.require_stable
    if call.version < 8:
        topics = _fetch_topics(
            call, request.group_id, request.topics, OffsetFetchResponse.OffsetFetchResponseTopic, stable
        )
        return OffsetFetchResponse(throttle_time_ms=0, topics=topics, error_code=0)
    group_class = OffsetFetchResponse.OffsetFetchResponseGroup
    groups = []
    for asked in request.groups:
        error = _fetch_error(call, asked)
        topics = []
        if error is ErrorCode.NONE:
            topics = _fetch_topics(call, asked.group_id, asked.topics, group_class.OffsetFetchResponseTopics, stable)
        groups.append(group_class(group_id=asked.group_id, topics=topics, error_code=error))
    return OffsetFetchResponse(throttle_time_ms=0, groups=groups)


def _fetch_error(call: Call, asked: Any) -> ErrorCode:
    group = call.broker.groups.find(asked.group_id)
    if group is None or call.version < _MEMBER_EPOCHS:
        return ErrorCode.NONE
    return group.fetch_error(asked.member_id, asked.member_epoch)


def _fetch_topics(call: Call, group_id: str, asked: list[Any] | None, topic_class: Any, stable: bool) -> list[Any]:
    wanted: list[tuple[str | None, uuid.UUID | None, list[int]]] = []
    if asked is None:
        by_topic: dict[str, list[int]] = {}
        for name, index in call.broker.offsets.fetch(group_id).committed:
            by_topic.setdefault(name, []).append(index)
        for name, indexes in by_topic.items():
            topic = call.broker.catalog.get(name)
            if topic is not None:
                wanted.append((name, topic.id, sorted(indexes)))
    else:
        wanted = [(_topic_name(call, topic), _topic_id(call, topic), list(topic.partition_indexes)) for topic in asked]
    return [
        topic_class(
            name=name,
            **({"topic_id": topic_id} if call.version >= _BY_ID else {}),
            partitions=[_fetch_partition(call, group_id, name, index, topic_class, stable) for index in indexes],
        )
        for name, topic_id, indexes in wanted
    ]


def _fetch_partition(call: Call, group_id: str, name: str | None, index: int, topic_class: Any, stable: bool) -> Any:
    offsets = call.broker.offsets.fetch(group_id)
    code = ErrorCode.UNKNOWN_TOPIC_ID if name is None else ErrorCode.NONE
    found = offsets.committed.get((name or "", index))
    if stable and offsets.unstable((name or "", index)):
        code, found = ErrorCode.UNSTABLE_OFFSET_COMMIT, None
    partition_class = (
        getattr(topic_class, "OffsetFetchResponsePartitions", None) or topic_class.OffsetFetchResponsePartition
    )
    return partition_class(
        partition_index=index,
        committed_offset=-1 if found is None else found.offset,
        committed_leader_epoch=-1 if found is None else found.leader_epoch,
        metadata="" if found is None else found.metadata,
        error_code=code,
    )


@handles(OffsetDeleteRequest, 0, 0)
async def offset_delete(call: Call, request: Any) -> Any:
    """Delete offsets of partitions that no member subscribes to."""
    broker = call.broker
    group = broker.groups.find(request.group_id)
    if group is None:
        return OffsetDeleteResponse(error_code=ErrorCode.GROUP_ID_NOT_FOUND, throttle_time_ms=0, topics=[])
    busy = {topic.name for topic in request.topics if _is_subscribed(group, topic.name)}
    partitions = [(t.name, p.partition_index) for t in request.topics if t.name not in busy for p in t.partitions]
    if partitions:
        broker.offsets.delete(request.group_id, partitions)
        await broker.flusher.flush(broker.offsets.log)
    topic_class = OffsetDeleteResponse.OffsetDeleteResponseTopic
    return OffsetDeleteResponse(
        error_code=0,
        throttle_time_ms=0,
        topics=[
            topic_class(
                name=topic.name,
                partitions=[
                    topic_class.OffsetDeleteResponsePartition(
                        partition_index=p.partition_index,
                        error_code=ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC if topic.name in busy else ErrorCode.NONE,
                    )
                    for p in topic.partitions
                ],
            )
            for topic in request.topics
        ],
    )


def _is_subscribed(group: AnyGroup, topic: str) -> bool:
    """Whether a member may subscribe to the topic: what members of classic groups subscribe to is not known here."""
    return group.subscribes(topic) if isinstance(group, ConsumerGroup) else group.state is not GroupState.EMPTY
