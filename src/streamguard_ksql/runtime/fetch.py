"""What one request to a consumer brings, by partition."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

from confluent_kafka import Consumer, KafkaError, KafkaException

from streamguard_ksql.operators.record import Batch
from streamguard_ksql.runtime import corrupt
from streamguard_ksql.runtime.clients import BATCH, MESSAGE, PASSING, Message, Servers, input_records, take
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
    messages = take(client, BATCH, timeout_s)
    ends: list[tuple[str, int, int]] = []
    lost: dict[tuple[str, int], LostBatch] = {}
    if [error for error in map(MESSAGE.error, messages) if error is not None]:
        messages = [message for message in messages if _is_record(message, servers, ends, lost)]
    batches: dict[tuple[str, int], Batch] = {}
    for place, records in groupby(input_records(messages), _PLACE):
        batches.setdefault(place, Batch()).extend(records)
    return Fetched(list(batches.values()), ends, list(lost.values()), time.monotonic())


_PLACE = itemgetter(0, 1)


def _is_record(
    message: Message,
    servers: Servers,
    ends: list[tuple[str, int, int]],
    lost: dict[tuple[str, int], LostBatch],
) -> bool:
    """Whether a message is a record; what it says otherwise goes to the `ends` or the `lost` batches, or is raised."""
    error = message.error()
    place = message.topic(), message.partition()
    if place in lost:
        return False  # errors of what librdkafka takes for the next batch
    if error is None:
        return True
    if error.code() == KafkaError._PARTITION_EOF:
        ends.append((*place, message.offset()))
    elif corrupt.is_corrupt(message):
        found = corrupt.find(servers, message)
        log.error("%s", found, extra={"topic": found.topic, "partition": found.partition, "offset": found.start})
        lost[found.topic, found.partition] = found
        ends.append((found.topic, found.partition, found.end))
    elif error.code() not in PASSING:
        raise KafkaException(error)
    return False
