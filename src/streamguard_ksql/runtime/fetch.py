"""What one request to a consumer brings, by partition."""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException

from streamguard_ksql.operators.record import Batch
from streamguard_ksql.runtime.clients import BATCH, PASSING, input_record, take


@dataclass(frozen=True)
class Fetched:
    """Records by topic and partition, each batch in order; and the (topic, partition, offset) of ends that were reached."""

    batches: list[Batch]
    ends: list[tuple[str, int, int]]

    def __len__(self) -> int:
        """How many records."""
        return sum(map(len, self.batches))


def fetch(client: Consumer, timeout_s: float) -> Fetched:
    """What a consumer has, waiting at most so long for the first. Raises KafkaException where a topic cannot be read."""
    batches: dict[tuple[str, int], Batch] = {}
    ends = []
    for message in take(client, BATCH, timeout_s):
        error = message.error()
        if error is None:
            record = input_record(message)
            place = record[:2]
            batch = batches.get(place)
            if batch is None:
                batch = batches[place] = Batch()
            batch.append(record)
        elif error.code() == KafkaError._PARTITION_EOF:
            ends.append((message.topic(), message.partition(), message.offset()))
        elif error.code() not in PASSING:
            raise KafkaException(error)
    return Fetched(list(batches.values()), ends)
