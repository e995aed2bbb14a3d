"""Record batches whose CRC does not match: no query is given their records, and reading goes on behind them.

Kafka serves a batch as it is stored. librdkafka (`check.crcs`) refuses one that is corrupt and reports the offset of its
first record; then it takes bytes within it for the next batch, may fetch from any offset that it finds there, and at times
cannot be closed any more (2.16). So a consumer that has refused a batch is abandoned for another. Where the next batch
begins is found by other consumers: the corrupt one's own header is not to be trusted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streamguard_ksql.errors import KsqlError
from streamguard_ksql.operators.base import ProcessingError
from streamguard_ksql.runtime import clients
from streamguard_ksql.runtime.clients import KafkaUnavailable, Message, Servers


@dataclass(frozen=True)
class LostBatch:
    """The offsets from `start` to before `end`, whose records cannot be read, and why."""

    topic: str
    partition: int
    start: int
    end: int
    why: str

    def __len__(self) -> int:
        return self.end - self.start

    def __str__(self) -> str:
        span = f"offset {self.start}" if len(self) == 1 else f"offsets {self.start} to {self.end - 1}"
        return (
            f"The record batch of topic {self.topic}, partition {self.partition}, {span}, is corrupt and was left out: "
            f"{self.why}"
        )

    def error(self, query_id: str) -> ProcessingError:
        """The entry of a query's processing log."""
        logger = f"{query_id}.KsqlTopic.Source.deserializer"
        return ProcessingError(logger, "DESERIALIZATION", str(self), topic=self.topic, target="value")


class CorruptBatch(KsqlError):
    """A batch without which there is no state: what it was for cannot go on."""


def is_corrupt(message: Message) -> bool:
    """Whether a consumer's error is a batch that it refused."""
    return bool(message.error().code() == KafkaError._BAD_MSG and message.offset() >= 0)


def refused(message: Message, purpose: str) -> CorruptBatch:
    """The error of a topic that has to be read whole. `purpose`: what it is read for, and what to do."""
    place = f"topic {message.topic()}, partition {message.partition()}, offset {message.offset()}"
    return CorruptBatch(f"The record batch of {place} is corrupt: {message.error().str()}. {purpose}")


def read_range(servers: Servers, topic: str, start: int, end: int, need: str) -> Iterator[Message]:
    """The records of a topic's one partition from offset `start` to before `end`, in order; there may be fewer than these
    offsets. Raises CorruptBatch where one cannot be read; `need` is its sentence on what needs them, and what to do.

    By a consumer of its own: one that has other partitions to read next would first sit out its long poll on this one.
    """
    if start >= end:
        return
    # Behind the last record is the marker of its transaction, and nothing: Kafka would wait with its answer for more to come.
    client = clients.consumer(servers, f"{topic}-reader", fetch_wait_max_ms=10)
    close: Callable[[], object] = client.close
    try:
        client.assign([TopicPartition(topic, 0, start)])
        while True:
            for message in clients.take(client, clients.BATCH, 0.1):
                error = message.error()
                if error is None:
                    if message.offset() < end:
                        yield message
                    if message.offset() >= end - 1:
                        return
                elif error.code() == KafkaError._PARTITION_EOF:
                    return
                elif is_corrupt(message):
                    close = partial(abandon, client)
                    raise refused(message, need)
                elif error.code() not in clients.PASSING:
                    raise KafkaException(error)
    finally:
        close()


def abandon(client: Consumer) -> None:
    """Close a consumer that may have refused a batch, without waiting: it may never end."""
    threading.Thread(target=client.close, name="abandoned consumer", daemon=True).start()


def find(servers: Servers, message: Message) -> LostBatch:
    """The offsets of a batch that a consumer refused: up to the first one whose fetch does not bring that batch again."""
    topic, partition, start = message.topic(), message.partition(), message.offset()
    inside, behind = start, _end(servers, topic, partition)
    while behind - inside > 1:
        middle = (inside + behind) // 2
        if _brings(servers, TopicPartition(topic, partition, middle), start):
            inside = middle
        else:
            behind = middle
    return LostBatch(topic, partition, start, max(behind, start + 1), message.error().str())


def _end(servers: Servers, topic: str, partition: int) -> int:
    client = _prober(servers, topic)
    try:
        _, end = client.get_watermark_offsets(TopicPartition(topic, partition), clients.TIMEOUT_S)
    finally:
        client.close()
    return int(end)


def _brings(servers: Servers, place: TopicPartition, start: int) -> bool:
    """Whether a fetch at this place brings the corrupt batch that begins at `start`.

    What a consumer reports first counts, so each fetch has its own.
    """
    client = _prober(servers, place.topic)
    try:
        client.assign([place])
        deadline = time.monotonic() + clients.TIMEOUT_S
        while time.monotonic() < deadline:
            message = client.poll(0.1)
            error = None if message is None else message.error()
            if message is None or (error is not None and error.code() in clients.PASSING):
                continue
            if error is None or error.code() == KafkaError._PARTITION_EOF:
                return False
            if not is_corrupt(message):
                raise KafkaException(error)
            return message.offset() == start
    finally:
        abandon(client)
    raise KafkaUnavailable(
        f"Kafka has not answered for {clients.TIMEOUT_S:.0f} s: what is behind a corrupt batch is unknown."
    )


def _prober(servers: Servers, topic: str) -> Consumer:
    return clients.consumer(servers, f"{topic}-prober", read_committed=False, fetch_message_max_bytes=1)
