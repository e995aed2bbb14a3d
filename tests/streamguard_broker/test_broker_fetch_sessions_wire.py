"""Sequences of fetches in a session (KIP-227), with the same responses from this broker and from Apache Kafka."""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]  # re-exported without __all__
from kafka import KafkaConsumer, TopicPartition
from kafka.protocol.consumer import FetchRequest, FetchResponse

from tests.support.processes import eventually

RECORDS = 5
WAIT_MS = 50
SAME, NEW, NONE = "same", "new", "none"
FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH, FETCH_SESSION_TOPIC_ID_ERROR = 70, 71, 106
OUT_OF_RANGE, UNKNOWN = 1, 3


@dataclass
class Step:
    """A request and its response: error, session, {partition: (error, end offset, has records)}.

    Partition 0 has RECORDS records, partition 1 none. `waits`: without records, the response took the whole wait.
    """

    epoch: int
    offsets: dict[int, int] = field(default_factory=dict)
    forget: tuple[int, ...] = ()
    version: int = 12
    error: int = 0
    session: str = SAME
    reported: dict[int, tuple[int, int, bool]] = field(default_factory=dict)
    waits: bool = False


OPEN = Step(0, {0: 5, 1: 0}, session=NEW, reported={0: (0, 5, False), 1: (0, 0, False)}, waits=True)
SEQUENCES = {
    "seeking back gives the records again, and again until the position moves": [
        OPEN,
        Step(1, waits=True),
        Step(2, {0: 0}, reported={0: (0, 5, True)}),
        Step(3, reported={0: (0, 5, True)}),
        Step(4, {0: 0}, reported={0: (0, 5, True)}),
        Step(5, {0: 5}, waits=True),
    ],
    "an offset out of range is reported until it is corrected": [
        OPEN,
        Step(1, {0: 99}, reported={0: (OUT_OF_RANGE, -1, False)}),
        Step(2, reported={0: (OUT_OF_RANGE, -1, False)}),
        Step(3, {0: 5}, reported={0: (0, 5, False)}, waits=True),
        Step(4, waits=True),
    ],
    "a forgotten partition is reported again when it is added again": [
        OPEN,
        Step(1, forget=(1,), waits=True),
        Step(2, {1: 0}, reported={1: (0, 0, False)}, waits=True),
        Step(3, {1: 0}, forget=(1,), waits=True),
        Step(4, {1: 0}, reported={1: (0, 0, False)}, waits=True),
    ],
    "an unknown partition does not complete a fetch that waits for the others": [
        OPEN,
        Step(1, {7: 0}, reported={7: (UNKNOWN, -1, False)}, waits=True),
        Step(2, reported={7: (UNKNOWN, -1, False)}, waits=True),
        Step(3, {0: 0}, reported={0: (0, 5, True), 7: (UNKNOWN, -1, False)}),
        Step(4, {0: 5}, forget=(7,), waits=True),
    ],
    "an unknown partition alone is reported at once": [
        Step(0, {7: 0}, session=NEW, reported={7: (UNKNOWN, -1, False)})
    ],
    "names and ids do not mix": [
        OPEN,
        Step(1, version=13, error=FETCH_SESSION_TOPIC_ID_ERROR, session=NONE),
        Step(1, waits=True),
    ],
    "a session that forgets everything ends": [
        OPEN,
        Step(1, forget=(0, 1), session=NONE),
        Step(2, {0: 0}, error=FETCH_SESSION_ID_NOT_FOUND, session=NONE),
    ],
    "an epoch too low or too high is rejected, and changes nothing": [
        OPEN,
        Step(5, error=INVALID_FETCH_SESSION_EPOCH, session=NONE),
        Step(1, waits=True),
        Step(1, error=INVALID_FETCH_SESSION_EPOCH, session=NONE),
    ],
    "the last epoch ends a session": [
        OPEN,
        Step(-1, {0: 0}, session=NONE, reported={0: (0, 5, True)}),
        Step(1, error=FETCH_SESSION_ID_NOT_FOUND, session=NONE),
    ],
    "a session may begin without partitions": [Step(0, session=NEW), Step(1, {0: 0}, reported={0: (0, 5, True)})],
}


def _answers(admin: AdminClient, topic: str, partition: int) -> bool:
    asked = confluent_kafka.TopicPartition(topic, partition)
    try:
        admin.list_offsets({asked: OffsetSpec.latest()})[asked].result(20)  # type: ignore[no-untyped-call]
    except confluent_kafka.KafkaException:
        return False
    return True


def create(address: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([NewTopic(topic, 2, 1)])[topic].result(20)
    # Kafka has created a topic before all of its partitions answer.
    eventually(lambda: _answers(admin, topic, 0) and _answers(admin, topic, 1), bool)
    producer = Producer({"bootstrap.servers": address})
    for _ in range(RECORDS):
        producer.produce(topic, b"x", partition=0)
    assert producer.flush(20) == 0


def encode(step: Step, topic: str, session_id: int) -> bytes:
    wanted = FetchRequest.FetchTopic
    partitions = [
        wanted.FetchPartition(partition=p, fetch_offset=offset, partition_max_bytes=10_000, version=step.version)
        for p, offset in step.offsets.items()
    ]
    forgotten = FetchRequest.ForgottenTopic(topic=topic, partitions=list(step.forget), version=step.version)
    request = FetchRequest[step.version](
        max_wait_ms=WAIT_MS, min_bytes=1, max_bytes=100_000, session_id=session_id, session_epoch=step.epoch,
        topics=[wanted(topic=topic, partitions=partitions, version=step.version)] if partitions else [],
        forgotten_topics_data=[forgotten] if step.forget else [],
    )  # fmt: skip
    request.with_header(correlation_id=1, client_id="x")
    return bytes(request.encode(header=True, framed=True))


def ask(connection: socket.socket, step: Step, topic: str, session_id: int) -> Any:
    connection.sendall(encode(step, topic, session_id))
    with connection.makefile("rb") as answers:
        size = answers.read(4)
        body = answers.read(struct.unpack(">i", size)[0])
    return FetchResponse.decode(size + body, version=step.version, header=True, framed=True)


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_sequence(cluster: str, topic: str, name: str) -> None:
    create(cluster, topic)
    session_id = 0
    host, _, port = cluster.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        for step in SEQUENCES[name]:
            started = time.monotonic()
            answer = ask(connection, step, topic, session_id)
            took_ms = (time.monotonic() - started) * 1000
            reported = {
                p.partition_index: (p.error_code, p.high_watermark, bool(p.records))
                for t in answer.responses
                for p in t.partitions
            }
            session = NONE if answer.session_id == 0 else SAME if answer.session_id == session_id else NEW
            assert (answer.error_code, session, reported) == (step.error, step.session, step.reported), step
            assert not step.waits or took_ms >= WAIT_MS * 0.9, step
            session_id = answer.session_id or session_id


def test_kafka_python_seeks_back_and_forth(cluster: str, topic: str) -> None:
    create(cluster, topic)
    consumer = KafkaConsumer(bootstrap_servers=cluster, fetch_max_wait_ms=WAIT_MS, max_poll_records=2)
    partitions = [TopicPartition(topic, p) for p in (0, 1)]
    consumer.assign(partitions)
    for back in (0, 3, 0, 4, 1, 5, 2, 0, 0):
        consumer.seek(partitions[0], back)
        consumer.seek(partitions[1], 0)
        got: list[int] = []
        deadline = time.monotonic() + 20
        while consumer.position(partitions[0]) < RECORDS:
            assert time.monotonic() < deadline, (back, got)
            got += [record.offset for records in consumer.poll(WAIT_MS).values() for record in records]
            if back == 3 and got:
                break
        assert got == list(range(back, RECORDS))[: len(got)]
        consumer.poll(0)
    consumer.close()
