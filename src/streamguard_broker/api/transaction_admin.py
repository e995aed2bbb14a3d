"""DescribeProducers (61), DescribeTransactions (65), ListTransactions (66).

Behaviour
- DescribeProducers has the idempotent producers that a partition remembers, for a day after their last batch.

Version notes
- ListTransactions 1: filter by duration. 2: filter by a pattern of the id (KIP-1152), a regular expression, matched on a
  thread for `PATTERN_SECONDS` at most: one that backtracks for longer is INVALID_REGULAR_EXPRESSION (`patterns`).
"""

from __future__ import annotations

import logging
from typing import Any

from kafka.protocol.admin import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
    ListTransactionsRequest,
    ListTransactionsResponse,
)

from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.patterns import find_matching
from streamguard_broker.registry import Call, handles
from streamguard_broker.transactions.states import Transaction, TransactionState

log = logging.getLogger(__name__)


@handles(DescribeTransactionsRequest, 0, 0)
def describe_transactions(call: Call, request: Any) -> Any:
    """State, producer and partitions of transactional ids."""
    return DescribeTransactionsResponse(
        throttle_time_ms=0,
        transaction_states=[
            _described(name, call.broker.transactions.transactions.get(name)) for name in request.transactional_ids
        ],
    )


def _described(transactional_id: str, transaction: Transaction | None) -> Any:
    state_class = DescribeTransactionsResponse.TransactionState
    if transaction is None:
        return state_class(
            error_code=ErrorCode.TRANSACTIONAL_ID_NOT_FOUND,
            transactional_id=transactional_id,
            transaction_state="",
            transaction_timeout_ms=0,
            transaction_start_time_ms=-1,
            producer_id=-1,
            producer_epoch=-1,
            topics=[],
        )
    by_topic: dict[str, list[int]] = {}
    for topic, index in sorted(transaction.partitions):
        by_topic.setdefault(topic, []).append(index)
    return state_class(
        error_code=0,
        transactional_id=transactional_id,
        transaction_state=transaction.state.value,
        transaction_timeout_ms=transaction.timeout_ms,
        transaction_start_time_ms=transaction.started_ms,
        producer_id=transaction.producer_id,
        producer_epoch=transaction.epoch,
        topics=[state_class.TopicData(topic=topic, partitions=indexes) for topic, indexes in by_topic.items()],
    )


@handles(ListTransactionsRequest, 0, 2)
async def list_transactions(call: Call, request: Any) -> Any:
    """Transactional ids, filtered by state, producer id, duration (version 1) and pattern (version 2)."""
    known = {state.value for state in TransactionState}
    pattern = request.transactional_id_pattern if call.version >= 2 else None
    code = ErrorCode.NONE
    listed = [t for t in call.broker.transactions.transactions.values() if _matches(call, request, t)]
    if pattern:
        try:
            ids = await find_matching(pattern, [t.transactional_id for t in listed])
            listed = [t for t in listed if t.transactional_id in ids]
        except KafkaError as error:
            log.warning("ListTransactions of %s: %s", call.caller.host, error)
            code, listed = error.code, []
    return ListTransactionsResponse(
        throttle_time_ms=0,
        error_code=code,
        unknown_state_filters=[name for name in request.state_filters if name not in known],
        transaction_states=[
            ListTransactionsResponse.TransactionState(
                transactional_id=t.transactional_id, producer_id=t.producer_id, transaction_state=t.state.value
            )
            for t in listed
        ],
    )


def _matches(call: Call, request: Any, transaction: Transaction) -> bool:
    """Whether a transaction passes the other filters of the request."""
    min_age_ms = request.duration_filter if call.version >= 1 else -1
    age_ms = call.broker.clock.wall_ms() - transaction.started_ms if transaction.started_ms >= 0 else -1
    return (
        (min_age_ms < 0 or age_ms >= min_age_ms)
        and (not request.state_filters or transaction.state.value in request.state_filters)
        and (not request.producer_id_filters or transaction.producer_id in request.producer_id_filters)
    )


@handles(DescribeProducersRequest, 0, 0)
def describe_producers(call: Call, request: Any) -> Any:
    """The producer state of partitions."""
    topic_class = DescribeProducersResponse.TopicResponse
    topics = []
    for topic in request.topics:
        partitions = []
        for index in topic.partition_indexes:
            log = call.broker.catalog.partition(topic.name, index)
            partitions.append(
                topic_class.PartitionResponse(
                    partition_index=index,
                    error_code=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION if log is None else ErrorCode.NONE,
                    error_message=None,
                    active_producers=[]
                    if log is None
                    else [
                        topic_class.PartitionResponse.ProducerState(
                            producer_id=producer_id,
                            producer_epoch=entry.epoch,
                            last_sequence=entry.batches[-1].last_sequence if entry.batches else -1,
                            last_timestamp=entry.last_timestamp,
                            coordinator_epoch=0,
                            current_txn_start_offset=-1 if entry.transaction_start is None else entry.transaction_start,
                        )
                        for producer_id, entry in log.producers.entries.items()
                    ],
                )
            )
        topics.append(topic_class(name=topic.name, partitions=partitions))
    return DescribeProducersResponse(throttle_time_ms=0, topics=topics)
