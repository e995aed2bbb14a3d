"""Three Kafka clients behind one interface, so that one test runs with each."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Protocol

import aiokafka
import confluent_kafka
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

READ_SECONDS = 20.0
Headers = list[tuple[str, str | bytes | None]]


@dataclass
class Message:
    """A record to produce, or one consumed (then with `offset`)."""

    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Headers = field(default_factory=list)
    offset: int = -1


class Client(Protocol):
    """Produces to and consumes from partition 0; `produce` asserts that everything is acknowledged."""

    def produce(self, address: str, topic: str, messages: list[Message], codec: str | None = None) -> None: ...

    def consume(self, address: str, topic: str, count: int) -> list[Message]: ...


class KafkaPython:
    """kafka-python."""

    def produce(self, address: str, topic: str, messages: list[Message], codec: str | None = None) -> None:
        producer = KafkaProducer(bootstrap_servers=address, acks="all", compression_type=codec, linger_ms=20)
        futures = [
            producer.send(topic, m.value, m.key, headers=m.headers, timestamp_ms=m.timestamp_ms, partition=0)
            for m in messages
        ]
        producer.flush(20)
        assert [f.get(1).offset for f in futures] == list(range(len(messages)))
        producer.close()

    def consume(self, address: str, topic: str, count: int) -> list[Message]:
        consumer = KafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest", group_id=None)
        consumer.assign([TopicPartition(topic, 0)])
        got: list[Message] = []
        deadline = time.monotonic() + READ_SECONDS
        while len(got) < count and time.monotonic() < deadline:
            for records in consumer.poll(200).values():
                got += [Message(r.key, r.value, r.timestamp, list(r.headers), r.offset) for r in records]
        consumer.close()
        return got


class Librdkafka:
    """confluent-kafka."""

    def produce(self, address: str, topic: str, messages: list[Message], codec: str | None = None) -> None:
        producer = confluent_kafka.Producer(
            {"bootstrap.servers": address, "acks": "all", "compression.codec": codec or "none", "linger.ms": 20}
        )
        for m in messages:
            producer.produce(topic, m.value, m.key, 0, timestamp=m.timestamp_ms, headers=m.headers)
        assert producer.flush(20) == 0

    def consume(self, address: str, topic: str, count: int) -> list[Message]:
        consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": address, "group.id": "conformance", "enable.auto.commit": False}
        )
        consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
        got: list[Message] = []
        deadline = time.monotonic() + READ_SECONDS
        while len(got) < count and time.monotonic() < deadline:
            for m in consumer.consume(100, 0.2):
                assert m.error() is None, m.error()
                headers = m.headers() or []
                assert isinstance(headers, list)
                got.append(Message(m.key(), m.value(), m.timestamp()[1], headers, m.offset() or 0))
        consumer.close()
        return got


class AioKafka:
    """aiokafka."""

    def produce(self, address: str, topic: str, messages: list[Message], codec: str | None = None) -> None:
        async def run() -> None:
            producer = aiokafka.AIOKafkaProducer(
                bootstrap_servers=address, acks="all", compression_type=codec, linger_ms=20
            )
            await producer.start()
            sent = [
                await producer.send(topic, m.value, m.key, 0, timestamp_ms=m.timestamp_ms, headers=m.headers)
                for m in messages
            ]
            assert [(await f).offset for f in sent] == list(range(len(messages)))
            await producer.stop()

        asyncio.run(run())

    def consume(self, address: str, topic: str, count: int) -> list[Message]:
        async def run() -> list[Message]:
            consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest")
            await consumer.start()
            consumer.assign([aiokafka.TopicPartition(topic, 0)])
            got: list[Message] = []
            deadline = time.monotonic() + READ_SECONDS
            while len(got) < count and time.monotonic() < deadline:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    got += [Message(r.key, r.value, r.timestamp, list(r.headers), r.offset) for r in records]
            await consumer.stop()
            return got

        return asyncio.run(run())


CLIENTS: dict[str, Client] = {"kafka-python": KafkaPython(), "librdkafka": Librdkafka(), "aiokafka": AioKafka()}
