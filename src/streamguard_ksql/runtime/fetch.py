"""What one request to a consumer brings, by partition."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, KafkaException

from streamguard_ksql.operators.record import Batch
from streamguard_ksql.runtime import corrupt
from streamguard_ksql.runtime.clients import BATCH, PASSING, Servers, input_record, take
from streamguard_ksql.runtime.corrupt import LostBatch

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fetched:
    """Records by topic and partition, each batch in order; the (topic, partition, offset) up to which there are no more,
    at the end of a partition or behind a corrupt batch; and the corrupt batches."""

    batches: list[Batch]
    ends: list[tuple[str, int, int]]
    lost: list[LostBatch] = field(default_factory=list)
    at_s: float = 0.0
    """When the records had come, on the clock of time.monotonic."""

    def __add__(self, other: Fetched) -> Fetched:
        """What two requests have brought."""
        both = [*self.batches, *other.batches], [*self.ends, *other.ends], [*self.lost, *other.lost]
        return Fetched(*both, max(self.at_s, other.at_s))

    def __len__(self) -> int:
        """How many records."""
        return sum(map(len, self.batches))


def fetch(client: Consumer, servers: Servers, timeout_s: float) -> Fetched:
    """What a consumer has, waiting at most so long for the first. Raises KafkaException where a topic cannot be read.

    If a batch was lost the consumer is of no use any more, and has to be replaced (see `corrupt`).
    """
    lost: dict[tuple[str, int], LostBatch] = {}
    batches: dict[tuple[str, int], Batch] = {}
    ends = []
    for message in take(client, BATCH, timeout_s):
        error = message.error()
        if lost and (message.topic(), message.partition()) in lost:
            continue  # errors of what librdkafka takes for the next batch
        if error is None:
            record = input_record(message)
            place = record[:2]
            batch = batches.get(place)
            if batch is None:
                batch = batches[place] = Batch()
            batch.append(record)
        elif error.code() == KafkaError._PARTITION_EOF:
            ends.append((message.topic(), message.partition(), message.offset()))
        elif corrupt.is_corrupt(message):
            found = corrupt.find(servers, message)
            log.error("%s", found, extra={"topic": found.topic, "partition": found.partition, "offset": found.start})
            lost[found.topic, found.partition] = found
            ends.append((found.topic, found.partition, found.end))
        elif error.code() not in PASSING:
            raise KafkaException(error)
    return Fetched(list(batches.values()), ends, list(lost.values()), time.monotonic())
