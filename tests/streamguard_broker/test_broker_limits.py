"""Memory that clients can take is bounded: slow readers, incomplete frames, too many connections."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from kafka.protocol.consumer import FetchRequest

from streamguard_broker.budget import FETCH_FLOOR_BYTES, MemoryBudget
from tests.support.broker import BrokerProcess

MEGABYTE = 1024 * 1024


def connect(broker: BrokerProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", broker.port), timeout=5)


def answers(broker: BrokerProcess) -> bool:
    return bool(AdminClient({"bootstrap.servers": broker.address}).list_topics(timeout=5).brokers)


def test_slow_readers_take_little_memory(broker: BrokerProcess, topic: str) -> None:
    producer = Producer({"bootstrap.servers": broker.address})
    for _ in range(400):
        producer.produce(topic, b"x" * 100_000)
        producer.poll(0)
    producer.flush()
    before = broker.resident_mb()
    fetch_topic = FetchRequest.FetchTopic
    request = FetchRequest[4](
        max_wait_ms=100, min_bytes=1, max_bytes=50 * MEGABYTE, isolation_level=0,
        topics=[
            fetch_topic(
                topic=topic,
                partitions=[fetch_topic.FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=50 * MEGABYTE)],
            )
        ],
    )  # fmt: skip
    request.with_header(correlation_id=1, client_id="slow")
    frame = bytes(request.encode(header=True, framed=True))
    clients = [connect(broker) for _ in range(40)]
    for client in clients:
        client.sendall(frame * 5)
    time.sleep(1.5)
    assert broker.resident_mb() - before < 110
    assert answers(broker)
    for client in clients:
        client.close()


def test_incomplete_frames_take_little_memory(broker: BrokerProcess) -> None:
    before = broker.resident_mb()
    clients = [connect(broker) for _ in range(40)]

    def begin(client: socket.socket) -> None:
        client.settimeout(0.5)
        with contextlib.suppress(OSError):
            client.sendall(struct.pack(">i", 60 * MEGABYTE))
            for _ in range(8):
                client.sendall(b"\x00" * MEGABYTE)

    with ThreadPoolExecutor(len(clients)) as threads:
        list(threads.map(begin, clients))
    assert broker.resident_mb() - before < 60
    assert answers(broker)
    for client in clients:
        client.close()


@pytest.mark.parametrize("size", [-1, 0, 7, 200 * MEGABYTE, 2**31 - 1])
def test_impossible_frames_end_the_connection(shared_broker: BrokerProcess, size: int) -> None:
    with connect(shared_broker) as client:
        client.sendall(struct.pack(">i", size) + b"\x00" * 20)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(10) == b""
    assert answers(shared_broker)


def test_a_frame_that_does_not_fit_waits_until_memory_is_released() -> None:
    budget = MemoryBudget(100, 100)
    woken: list[str] = []
    assert budget.admit(500, lambda: woken.append("never")), "a single frame of any size is admitted"
    assert not budget.admit(10, lambda: woken.append("second"))
    budget.release(500)
    assert woken == ["second"]
    assert budget.admit(10, lambda: None)
    assert budget.request_bytes == 10


def test_unread_responses_make_later_ones_smaller() -> None:
    budget = MemoryBudget(100, 1_000_000)
    assert budget.fetch_bytes(400_000) == 400_000
    budget.add_backlog(900_000)
    assert budget.fetch_bytes(400_000) == 100_000
    budget.add_backlog(100_000)
    assert budget.fetch_bytes(400_000) == FETCH_FLOOR_BYTES
    budget.add_backlog(-1_000_000)
    assert budget.fetch_bytes(400_000) == 400_000
