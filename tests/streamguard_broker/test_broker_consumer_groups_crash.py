"""Groups of the consumer protocol over a kill -9 of the broker: members go on in their epochs, and own what they owned."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Message, Producer
from kafka.protocol.admin import CreateTopicsRequest, CreateTopicsResponse

from tests.support.broker import BrokerProcess
from tests.support.heartbeats import HeartbeatGroup, read
from tests.support.wire import WireClient

READ_SECONDS = 60.0
ARGUMENTS = ("--group-consumer-heartbeat-interval-ms", "100")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path / "broker", arguments=ARGUMENTS) as running:
        yield running


def create(broker: BrokerProcess, topic: str, partitions: int = 4) -> uuid.UUID:
    wanted = CreateTopicsRequest.CreatableTopic(
        name=topic, num_partitions=partitions, replication_factor=1, assignments=[], configs=[]
    )
    request = CreateTopicsRequest(topics=[wanted], timeout_ms=20_000, validate_only=False)
    with WireClient(broker.address) as wire:
        found: Any = wire.ask(request, CreateTopicsResponse, version=7).topics[0]
    return uuid.UUID(bytes=found.topic_id.bytes)


def crash(broker: BrokerProcess, group: HeartbeatGroup) -> None:
    broker.kill()
    broker.start()
    group.wire.close()
    group.wire = WireClient(broker.address)


def test_members_go_on_in_their_epochs(broker: BrokerProcess, topic: str) -> None:
    group = HeartbeatGroup(broker.address, create(broker, topic), topic)
    group.join("a", instance_id="i", rack_id="r", server_assignor="range")
    group.join("b")
    assert group.ok("a", 1, owned=[0, 1, 2, 3])[1] == [0, 1]
    crash(broker, group)
    assert group.ok("b", 2) == (2, None), "what the other has not given up is not given away"
    assert group.ok("a", 1, owned=[0, 1]) == (2, None)
    crash(broker, group)
    before = group.describe()
    assert (before.group_state, before.group_epoch, before.assignor_name) == ("Reconciling", 2, "range")
    assert group.ok("b", 2) == (2, [2, 3])
    crash(broker, group)
    assert group.describe().group_state == "Stable"
    assert group.ok("a", 2, instance_id="i") == (2, None)
    (member,) = [m for m in group.describe().members if m.member_id == "a"]
    assert (member.instance_id, member.rack_id, list(member.subscribed_topic_names)) == ("i", "r", [topic])
    assert group.ok("a", -1) == group.ok("b", -1) == (-1, None)
    crash(broker, group)
    assert group.describe().group_state == "Empty"
    assert read(group.join("a"))[0] == 5, "epochs go on"
    group.wire.close()


@pytest.mark.soak
def test_clients_read_every_record_once_over_crashes(broker: BrokerProcess, topic: str) -> None:
    create(broker, topic)
    readers = [
        Consumer(
            {
                "bootstrap.servers": broker.address, "group.id": topic, "group.protocol": "consumer",
                "auto.offset.reset": "earliest", "enable.auto.commit": False, "log_level": 0,
                "reconnect.backoff.max.ms": 200,
            }
        )
        for _ in range(2)
    ]  # fmt: skip
    producer = Producer({"bootstrap.servers": broker.address, "log_level": 0, "reconnect.backoff.max.ms": 200})
    got: list[bytes] = []
    for reader in readers:
        reader.subscribe([topic])

    def read_all(count: int) -> None:
        deadline = time.monotonic() + READ_SECONDS
        while len(got) < count or any(len(reader.assignment()) != 2 for reader in readers):
            assert time.monotonic() < deadline, f"{len(got)} of {count} records"
            for reader in readers:
                taken = [m for m in reader.consume(100, 0.05) if m.error() is None]
                got.extend(value(m) for m in taken)

    for round_number in range(3):
        for number in range(40):
            producer.produce(topic, b"%d-%d" % (round_number, number), partition=number % 4)
        assert producer.flush(30) == 0
        read_all(40 * (round_number + 1))
        broker.kill()
        broker.start()
    assert sorted(got) == sorted(b"%d-%d" % (r, n) for r in range(3) for n in range(40))
    for reader in readers:
        reader.close()
    assert "epoch 1" in broker.log() and "truncated" not in broker.log()


def value(message: Message) -> bytes:
    return message.value() or b""
