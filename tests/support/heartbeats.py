"""A group of the consumer protocol (KIP-848) spoken to request by request, without a client."""

from __future__ import annotations

import time
import uuid
from typing import Any

from kafka.protocol.metadata import FindCoordinatorRequest, FindCoordinatorResponse

from streamguard_broker.errors import ErrorCode
from streamguard_broker.schemas import (
    ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
)
from tests.support.wire import WireClient

SECONDS = 60.0
"""Until the coordinator of the group answers."""


class HeartbeatGroup:
    """A group of the consumer protocol, spoken to heartbeat by heartbeat."""

    def __init__(self, cluster: str, topic_id: uuid.UUID, topic: str) -> None:
        self.wire = WireClient(cluster)
        self.topic, self.topic_id = topic, topic_id
        self.name = f"group-{uuid.uuid4().hex[:8]}"
        request = FindCoordinatorRequest(key_type=0, coordinator_keys=[self.name])
        deadline = time.monotonic() + SECONDS
        while self.wire.ask(request, FindCoordinatorResponse, version=4).coordinators[0].error_code:
            assert time.monotonic() < deadline, "Kafka makes the topic of its coordinators first"

    def beat(
        self, member_id: str, epoch: int, *, version: int = 1, owned: list[int] | None = None, **fields: Any
    ) -> Any:
        """The raw answer; `join` has what a joining member must say."""
        partitions = None
        if owned is not None:
            topic_class = ConsumerGroupHeartbeatRequest.TopicPartitions
            partitions = [topic_class(topic_id=self.topic_id, partitions=owned)] if owned else []
        request = ConsumerGroupHeartbeatRequest(
            group_id=self.name, member_id=member_id, member_epoch=epoch, topic_partitions=partitions, **fields
        )
        while True:
            answer = self.wire.ask(request, ConsumerGroupHeartbeatResponse, version=version)
            if answer.error_code not in (14, 15, 16):  # a coordinator that Kafka is still loading
                return answer

    def join(self, member_id: str, **fields: Any) -> Any:
        wanted = {"rebalance_timeout_ms": 30_000, "subscribed_topic_names": [self.topic], "owned": [], **fields}
        return self.beat(member_id, 0, **wanted)

    def ok(self, member_id: str, epoch: int, **fields: Any) -> tuple[int, list[int] | None]:
        """Epoch and assignment of an answer without an error."""
        return read(self.beat(member_id, epoch, **fields))

    def code(self, member_id: str, epoch: int, **fields: Any) -> ErrorCode:
        answer = self.beat(member_id, epoch, **fields)
        assert bool(answer.error_code) == bool(answer.error_message)
        return ErrorCode(answer.error_code)

    def describe(self) -> Any:
        request = ConsumerGroupDescribeRequest(group_ids=[self.name], include_authorized_operations=False)
        return self.wire.ask(request, ConsumerGroupDescribeResponse, version=1).groups[0]


def read(answer: Any) -> tuple[int, list[int] | None]:
    assert answer.error_code == 0, answer
    assigned = answer.assignment
    found = None if assigned is None else [p for topic in assigned.topic_partitions for p in topic.partitions]
    return answer.member_epoch, found
