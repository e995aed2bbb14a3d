"""InitProducerId (22).

Behaviour
- Without a transactional id: a new producer id, at epoch 0. With one: see `TransactionCoordinator.init_producer`, which
  fences the previous producer and aborts its open transaction.

Version notes
- 3: the caller's producer id and epoch, to continue after an error (KIP-360).
- 4: PRODUCER_FENCED, which is INVALID_PRODUCER_EPOCH before (KIP-588).
- 6 is not supported: two-phase commit of external coordinators (KIP-939).
"""

from __future__ import annotations

from typing import Any

from kafka.protocol.producer import InitProducerIdRequest, InitProducerIdResponse

from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.registry import Call, handles


@handles(InitProducerIdRequest, 0, 5)
async def init_producer_id(call: Call, request: Any) -> Any:
    """Without a transactional id: a new id at epoch 0. With one: see `TransactionCoordinator.init_producer`."""
    broker = call.broker
    code, producer_id, epoch = ErrorCode.NONE, -1, -1
    try:
        if request.transactional_id is None:
            producer_id, epoch = broker.producer_ids.next(), 0
        else:
            known = (request.producer_id, request.producer_epoch) if call.version >= 3 else (-1, -1)
            producer_id, epoch = await broker.transactions.init_producer(
                request.transactional_id, request.transaction_timeout_ms, *known
            )
    except KafkaError as error:
        old = error.code is ErrorCode.PRODUCER_FENCED and call.version < 4
        code = ErrorCode.INVALID_PRODUCER_EPOCH if old else error.code
    return InitProducerIdResponse(throttle_time_ms=0, error_code=code, producer_id=producer_id, producer_epoch=epoch)
