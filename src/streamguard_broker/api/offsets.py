"""ListOffsets (2), DeleteRecords (21), OffsetForLeaderEpoch (23).

Behaviour
- ListOffsets: latest (for read_committed the last stable offset), earliest, the record with the highest timestamp, or
  the first with a timestamp at or after the given one; -1 if there is none.
- DeleteRecords syncs the partition, moves the log start offset durably, and deletes segments that end before it.
- OffsetForLeaderEpoch: the one epoch, 0, ends at the log end offset.

Version notes
- ListOffsets 2: isolation level. 4: the response has the leader epoch; that of the request is not checked. 7: highest
  timestamp (KIP-734). 8: earliest local, the same as earliest. 9: latest tiered, always -1. 11: earliest pending upload
  (-6), UNSUPPORTED_VERSION.
- OffsetForLeaderEpoch 2: the client's leader epoch; above 0 is UNKNOWN_LEADER_EPOCH.
"""

from __future__ import annotations

from typing import Any

from kafka.protocol.admin import DeleteRecordsRequest, DeleteRecordsResponse
from kafka.protocol.consumer import (
    ListOffsetsRequest,
    ListOffsetsResponse,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
)

from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.registry import Call, handles
from streamguard_broker.storage.log import LEADER_EPOCH, PartitionLog

_LATEST, _EARLIEST, _MAX_TIMESTAMP, _EARLIEST_LOCAL, _LATEST_TIERED = -1, -2, -3, -4, -5


def partition_log(call: Call, topic: str, partition: int) -> PartitionLog:
    """The partition. Raises KafkaError UNKNOWN_TOPIC_OR_PARTITION."""
    log = call.broker.catalog.partition(topic, partition)
    if log is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    return log


@handles(ListOffsetsRequest, 1, 11)
def list_offsets(call: Call, request: Any) -> Any:
    """Earliest, latest (read_committed: last stable), of the highest timestamp, or first at or after a timestamp."""
    committed = call.version >= 2 and request.isolation_level == 1
    response_class = ListOffsetsResponse.ListOffsetsTopicResponse
    topics = []
    for topic in request.topics:
        partitions = []
        for asked in topic.partitions:
            code, timestamp, offset = ErrorCode.NONE, -1, -1
            try:
                timestamp, offset = _lookup(partition_log(call, topic.name, asked.partition_index), asked, committed)
            except KafkaError as error:
                code = error.code
            partitions.append(
                response_class.ListOffsetsPartitionResponse(
                    partition_index=asked.partition_index,
                    error_code=code,
                    timestamp=timestamp,
                    offset=offset,
                    leader_epoch=LEADER_EPOCH if offset >= 0 else -1,
                )
            )
        topics.append(response_class(name=topic.name, partitions=partitions))
    return ListOffsetsResponse(throttle_time_ms=0, topics=topics)


def _lookup(log: PartitionLog, asked: Any, committed: bool) -> tuple[int, int]:
    if asked.timestamp == _LATEST:
        return -1, log.stable_offset if committed else log.end_offset
    if asked.timestamp in (_EARLIEST, _EARLIEST_LOCAL):
        return -1, log.start_offset
    if asked.timestamp == _LATEST_TIERED:
        return -1, -1
    if asked.timestamp < _LATEST_TIERED:
        raise KafkaError(ErrorCode.UNSUPPORTED_VERSION, f"Unsupported special timestamp {asked.timestamp}.")
    if asked.timestamp == _MAX_TIMESTAMP:
        found = log.offset_of_max_timestamp()
    else:
        found = log.offset_for_time(asked.timestamp, committed=committed)
    return (-1, -1) if found is None else (found.timestamp, found.offset)


@handles(OffsetForLeaderEpochRequest, 2, 4)
def offset_for_leader_epoch(call: Call, request: Any) -> Any:
    """The one epoch ends at the log end offset."""
    topic_class = OffsetForLeaderEpochResponse.OffsetForLeaderTopicResult
    topics = []
    for topic in request.topics:
        partitions = []
        for asked in topic.partitions:
            code, epoch, end = ErrorCode.NONE, -1, -1
            try:
                log = partition_log(call, topic.topic, asked.partition)
                if asked.current_leader_epoch > LEADER_EPOCH:
                    raise KafkaError(ErrorCode.UNKNOWN_LEADER_EPOCH)
                if asked.leader_epoch == LEADER_EPOCH:
                    epoch, end = LEADER_EPOCH, log.end_offset
            except KafkaError as error:
                code = error.code
            partitions.append(
                topic_class.EpochEndOffset(
                    error_code=code, partition=asked.partition, leader_epoch=epoch, end_offset=end
                )
            )
        topics.append(topic_class(topic=topic.topic, partitions=partitions))
    return OffsetForLeaderEpochResponse(throttle_time_ms=0, topics=topics)


@handles(DeleteRecordsRequest, 0, 2)
async def delete_records(call: Call, request: Any) -> Any:
    """Move the log start offset; offset -1 stands for the log end offset."""
    topic_class = DeleteRecordsResponse.DeleteRecordsTopicResult
    topics = []
    for topic in request.topics:
        partitions = []
        for asked in topic.partitions:
            code, low = ErrorCode.NONE, -1
            try:
                log = partition_log(call, topic.name, asked.partition_index)
                await call.broker.flusher.flush(log)
                low = await _delete_before(call, log, asked.offset)
            except KafkaError as error:
                code = error.code
            partitions.append(
                topic_class.DeleteRecordsPartitionResult(
                    partition_index=asked.partition_index, low_watermark=low, error_code=code
                )
            )
        topics.append(topic_class(name=topic.name, partitions=partitions))
    return DeleteRecordsResponse(throttle_time_ms=0, topics=topics)


async def _delete_before(call: Call, log: PartitionLog, offset: int) -> int:
    if offset < -1:
        raise KafkaError(ErrorCode.OFFSET_OUT_OF_RANGE)
    work = log.begin_delete(log.end_offset if offset == -1 else offset)
    try:
        if work is not None:
            await call.broker.remove(log, work)
    except OSError as error:
        raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, str(error.strerror)) from error
    return log.start_offset
