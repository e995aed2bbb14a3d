"""The engine's Kafka clients (librdkafka), configured in one place.

librdkafka because the engine's results and changelogs are many small records: it writes them several times faster than
a client in Python can.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]

from streamguard.ksql.errors import KsqlError
from streamguard.ksql.operators.record import InputRecord, OutputRecord

log = logging.getLogger(__name__)
Message = Any
"""A message of librdkafka's client. Its stubs call every part optional, since a message may also be an error; those are
told apart before anything else is asked."""
TIMEOUT_S = 10.0
QUIET = {"log.connection.close": False, "socket.nagle.disable": True, "reconnect.backoff.max.ms": 1000}
Offsets = dict[tuple[str, int], int]
"""Offsets by topic and partition."""

LARGEST_RECORD_BYTES = 64 * 1024 * 1024


class KafkaUnavailable(KsqlError):
    """The log does not answer."""

    code = 50000


def admin_client(servers: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": servers, **QUIET}, logger=log)


def consumer(servers: str, group: str, *, read_committed: bool = False) -> Consumer:
    """A consumer whose positions are its owner's business: nothing is committed behind his back."""
    return Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed" if read_committed else "read_uncommitted",
            "allow.auto.create.topics": False,
            "fetch.message.max.bytes": 4 * 1024 * 1024,
            "receive.message.max.bytes": 2 * LARGEST_RECORD_BYTES,
            "queued.max.messages.kbytes": 32 * 1024,
            "fetch.queue.backoff.ms": 10,
            "topic.metadata.refresh.interval.ms": 60_000,
            **QUIET,
        },
        logger=log,
    )


def producer(servers: str, *, transactional_id: str | None = None, reports: bool = False) -> Producer:
    """A producer that keeps order and acknowledges only what is on disk; the partition is Java's choice for the key.

    Without `reports` only failures are called back: a call per record would cost as much as the record.
    """
    config: dict[str, Any] = {
        "bootstrap.servers": servers,
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "linger.ms": 2,
        "delivery.report.only.error": not reports,
        "batch.num.messages": 100_000,
        "queue.buffering.max.messages": 1_000_000,
        "queue.buffering.max.kbytes": 512 * 1024,
        "message.max.bytes": LARGEST_RECORD_BYTES,
        **QUIET,
    }
    if transactional_id is not None:
        config |= {"transactional.id": transactional_id, "transaction.timeout.ms": 60_000}
    return Producer(config, logger=log)


class Sender:
    """A producer that counts: `flush` returns when all is acknowledged, and raises if anything was not."""

    def __init__(self, client: Producer) -> None:
        self.client = client
        self._failed: KafkaError | None = None

    def send(self, record: OutputRecord) -> None:
        """Hand a record over; waits while the buffer is full."""
        topic, key, value, time, headers = record
        while True:
            try:
                self.client.produce(
                    topic,
                    value=value,
                    key=key,
                    timestamp=time,
                    headers=list(headers) or None,
                    on_delivery=self._delivered,
                )
                return
            except BufferError:
                self.client.poll(0.05)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed = error

    def flush(self) -> None:
        """Wait until the log has everything; KafkaUnavailable if it refused something."""
        while self.client.flush(1.0):
            if self._failed is not None:
                break
        failed, self._failed = self._failed, None
        if failed is not None:
            raise KafkaUnavailable(f"The log did not take a record: {failed.str()}")


def input_record(message: Message) -> InputRecord:
    """A client's message as the engine's record."""
    record: InputRecord = InputRecord(
        message.topic(),
        message.partition(),
        message.offset(),
        message.key(),
        message.value(),
        message.timestamp()[1],
        message.headers() or (),
    )
    return record


def read_to_end(client: Consumer, topic: str, partition: int = 0, start: int | None = None) -> Sequence[Message]:
    """All records of a partition up to its end as it is now, in order."""
    low, high = client.get_watermark_offsets(TopicPartition(topic, partition), timeout=TIMEOUT_S)
    position: int = max(low, start or 0)
    client.assign([TopicPartition(topic, partition, position)])
    found: list[Message] = []
    while position < high:
        messages: Sequence[Message] = client.consume(10_000, 0.1)
        for message in messages:
            if message.error() is not None:
                raise KafkaException(message.error())
            found.append(message)
            position = message.offset() + 1
        # Control records and compacted ends leave no message: the client's position says how far it has come.
        reached = client.position([TopicPartition(topic, partition)])[0].offset
        position = max(position, reached)
    return found


class KafkaTopics:
    """The topics of a Kafka, for the engine's statements."""

    def __init__(self, servers: str) -> None:
        self.admin = admin_client(servers)

    def all(self) -> dict[str, Any]:
        """Topic metadata by name."""
        try:
            found: dict[str, Any] = self.admin.list_topics(timeout=TIMEOUT_S).topics
        except KafkaException as error:
            raise KafkaUnavailable(f"Kafka does not answer: {error.args[0].str()}") from error
        return found

    def partitions(self, name: str) -> int | None:
        topic = self.all().get(name)
        return None if topic is None or topic.error is not None else len(topic.partitions)

    def create(self, name: str, partitions: int, config: Mapping[str, str]) -> None:
        """Create a topic; one that is there already is left as it is."""
        future = self.admin.create_topics([NewTopic(name, partitions, 1, config=dict(config))])[name]
        try:
            future.result(TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise KsqlError(f"Topic '{name}' could not be created: {error.args[0].str()}") from error

    def delete(self, name: str) -> None:
        """Delete a topic; one that is not there is no error."""
        future = self.admin.delete_topics([name])[name]
        try:
            future.result(TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise KsqlError(f"Topic '{name}' could not be deleted: {error.args[0].str()}") from error

    def offsets(self, wanted: Sequence[TopicPartition]) -> tuple[Offsets, Offsets]:
        """The first and the next offset of partitions: asked of the admin client, since a consumer's requests queue up
        behind its long polls."""
        found = []
        for spec in (OffsetSpec.earliest(), OffsetSpec.latest()):  # type: ignore[no-untyped-call]
            futures = self.admin.list_offsets(dict.fromkeys(wanted, spec), request_timeout=TIMEOUT_S)
            try:
                found.append({(tp.topic, tp.partition): int(f.result().offset) for tp, f in futures.items()})
            except KafkaException as error:
                raise KafkaUnavailable(f"Kafka does not tell its offsets: {error.args[0].str()}") from error
        return found[0], found[1]
