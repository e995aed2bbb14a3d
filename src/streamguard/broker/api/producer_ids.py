"""InitProducerId (22) of producers without transactions: each gets an id of its own."""

from __future__ import annotations

from typing import Any

from kafka.protocol.producer import InitProducerIdRequest, InitProducerIdResponse

from streamguard.broker.errors import ErrorCode, KafkaError
from streamguard.broker.registry import Call, handles


@handles(InitProducerIdRequest, 0, 5)
async def init_producer_id(call: Call, request: Any) -> Any:
    """A new id at epoch 0."""
    try:
        if request.transactional_id is not None:
            raise KafkaError(ErrorCode.INVALID_REQUEST)
        producer_id, epoch = call.broker.producer_ids.next(), 0
    except KafkaError as error:
        return InitProducerIdResponse(throttle_time_ms=0, error_code=error.code, producer_id=-1, producer_epoch=-1)
    return InitProducerIdResponse(throttle_time_ms=0, error_code=0, producer_id=producer_id, producer_epoch=epoch)
