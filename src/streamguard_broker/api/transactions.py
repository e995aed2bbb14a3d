"""AddPartitionsToTxn (24), AddOffsetsToTxn (25), EndTxn (26), TxnOffsetCommit (28): the wire side of
`transactions.coordinator`.

Behaviour
- AddPartitionsToTxn adds all partitions or none: with an unknown one the others are OPERATION_NOT_ATTEMPTED.
- EndTxn is answered when markers are in all partitions and synced, so no client sees CONCURRENT_TRANSACTIONS.
- TxnOffsetCommit is answered when the offsets are synced; they take effect when the transaction commits.

Version notes
- AddPartitionsToTxn 0 to 3: later versions are between brokers. EndTxn and TxnOffsetCommit 0 to 4: version 5 is of the
  second transaction protocol (KIP-890), which is not finalised here.
- 2 of AddPartitionsToTxn, AddOffsetsToTxn and EndTxn: PRODUCER_FENCED, which is INVALID_PRODUCER_EPOCH before
  (KIP-588). TxnOffsetCommit has INVALID_PRODUCER_EPOCH in all versions.
- TxnOffsetCommit 3: the member must be of the group's current generation (KIP-447).
"""

from __future__ import annotations

from typing import Any

from kafka.protocol.producer import (
    AddOffsetsToTxnRequest,
    AddOffsetsToTxnResponse,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    EndTxnRequest,
    EndTxnResponse,
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
)

from streamguard_broker.api.group_offsets import commit_codes
from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.groups.formats import Committed, TopicPartition
from streamguard_broker.registry import Call, handles


def _fenced(error: KafkaError, version: int, since: int) -> ErrorCode:
    """Clients before `since` know a fenced producer as INVALID_PRODUCER_EPOCH (KIP-588)."""
    old = error.code is ErrorCode.PRODUCER_FENCED and version < since
    return ErrorCode.INVALID_PRODUCER_EPOCH if old else error.code


@handles(AddPartitionsToTxnRequest, 0, 3)
async def add_partitions(call: Call, request: Any) -> Any:
    """All partitions of the request or none."""
    topics = request.v3_and_below_topics
    wanted = {(topic.name, index) for topic in topics for index in topic.partitions}
    unknown = {tp for tp in wanted if call.broker.catalog.partition(*tp) is None}
    code = ErrorCode.NONE
    if unknown:
        code = ErrorCode.OPERATION_NOT_ATTEMPTED
    else:
        try:
            await call.broker.transactions.add_partitions(
                request.v3_and_below_transactional_id,
                request.v3_and_below_producer_id,
                request.v3_and_below_producer_epoch,
                wanted,
            )
        except KafkaError as error:
            code = _fenced(error, call.version, 2)
    topic_class = AddPartitionsToTxnResponse.AddPartitionsToTxnTopicResult
    return AddPartitionsToTxnResponse(
        throttle_time_ms=0,
        results_by_topic_v3_and_below=[
            topic_class(
                name=topic.name,
                results_by_partition=[
                    topic_class.AddPartitionsToTxnPartitionResult(
                        partition_index=index,
                        partition_error_code=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                        if (topic.name, index) in unknown
                        else code,
                    )
                    for index in topic.partitions
                ],
            )
            for topic in topics
        ],
    )


@handles(AddOffsetsToTxnRequest, 0, 4)
async def add_offsets(call: Call, request: Any) -> Any:
    """Add a group, whose offsets will be committed in the transaction."""
    code = ErrorCode.NONE
    try:
        await call.broker.transactions.add_group(
            request.transactional_id, request.producer_id, request.producer_epoch, request.group_id
        )
    except KafkaError as error:
        code = _fenced(error, call.version, 2)
    return AddOffsetsToTxnResponse(throttle_time_ms=0, error_code=code)


@handles(EndTxnRequest, 0, 4)
async def end_transaction(call: Call, request: Any) -> Any:
    """Commit or abort."""
    code = ErrorCode.NONE
    try:
        await call.broker.transactions.end(
            request.transactional_id, request.producer_id, request.producer_epoch, commit=request.committed
        )
    except KafkaError as error:
        code = _fenced(error, call.version, 2)
    return EndTxnResponse(throttle_time_ms=0, error_code=code)


@handles(TxnOffsetCommitRequest, 0, 4)
async def txn_offset_commit(call: Call, request: Any) -> Any:
    """Store offsets that take effect when the transaction commits; the generation is checked from version 3 on."""
    broker = call.broker
    error = _commit_error(call, request)
    accepted: dict[TopicPartition, Committed] = {}
    topics = [(topic, commit_codes(call, topic.name, topic.partitions, error, accepted)) for topic in request.topics]
    failure = ErrorCode.NONE
    if accepted:
        try:
            broker.groups.group(request.group_id)
            broker.offsets.commit_in_transaction(
                request.group_id, request.producer_id, request.producer_epoch, accepted
            )
            await broker.flusher.flush(broker.offsets.log)
        except KafkaError:
            failure = ErrorCode.COORDINATOR_NOT_AVAILABLE
    topic_class = TxnOffsetCommitResponse.TxnOffsetCommitResponseTopic
    return TxnOffsetCommitResponse(
        throttle_time_ms=0,
        topics=[
            topic_class(
                name=topic.name,
                partitions=[
                    topic_class.TxnOffsetCommitResponsePartition(partition_index=index, error_code=code or failure)
                    for index, code in codes
                ],
            )
            for topic, codes in topics
        ],
    )


def _commit_error(call: Call, request: Any) -> ErrorCode:
    try:
        call.broker.transactions.check_offsets(
            request.transactional_id, request.producer_id, request.producer_epoch, request.group_id
        )
    except KafkaError as error:
        return ErrorCode.INVALID_PRODUCER_EPOCH if error.code is ErrorCode.PRODUCER_FENCED else error.code
    if call.version < 3 or (request.generation_id < 0 and not request.member_id):
        return ErrorCode.NONE
    group = call.broker.groups.find(request.group_id)
    if group is None:
        return ErrorCode.ILLEGAL_GENERATION
    now_ms = call.broker.clock.monotonic_ms()
    code = group.commit_error(request.member_id, request.group_instance_id, request.generation_id, now_ms)
    return ErrorCode.ILLEGAL_GENERATION if code is ErrorCode.STALE_MEMBER_EPOCH else code
