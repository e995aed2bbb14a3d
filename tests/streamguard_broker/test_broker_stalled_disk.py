"""While the disk accepts nothing, what needs no disk is answered; what waits for it is done in order, once it goes on."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka.protocol.consumer import (
    FetchRequest,
    FetchResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    JoinGroupRequest,
    JoinGroupResponse,
    SyncGroupRequest,
    SyncGroupResponse,
)
from kafka.protocol.metadata import MetadataRequest, MetadataResponse
from kafka.protocol.producer import ProduceRequest, ProduceResponse

from streamguard_broker.api.group_offsets import commit
from streamguard_broker.broker import Broker
from streamguard_broker.catalog import Change
from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.groups.formats import Committed
from streamguard_broker.options import BrokerOptions
from streamguard_broker.schemas import ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse
from streamguard_broker.storage.filesystem import Buffer, FileSystem
from streamguard_broker.storage.records import build_batch
from tests.streamguard_broker.test_broker_log_model import values_of
from tests.support.frames import exchange

TOPIC = "payments"


class GatedDisk(FileSystem):
    """`operation` waits while the gate is closed, and fails behind it if `full`. The event loop must never get there."""

    def __init__(self, operation: str) -> None:
        self.operation = operation
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Event()
        self.full = False

    def _pass(self, operation: str) -> None:
        if operation == self.operation and not self.gate.is_set():
            self.waiting.set()
            assert threading.current_thread() is not threading.main_thread(), "the event loop waits for the disk"
            self.gate.wait()
        if operation == self.operation and self.full:
            raise OSError(errno.ENOSPC, "No space left on device")

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Nothing passes inside."""
        self.waiting.clear()
        self.gate.clear()
        try:
            yield
        finally:
            self.gate.set()

    async def reached(self) -> None:
        """Return when an operation waits at the gate."""
        await asyncio.get_running_loop().run_in_executor(None, self.waiting.wait)

    def open(self, path: Path) -> int:
        self._pass("open")
        return super().open(path)

    def write(self, fd: int, data: Buffer, position: int) -> int:
        self._pass("write")
        return super().write(fd, data, position)

    def sync(self, fd: int) -> None:
        self._pass("sync")
        super().sync(fd)

    def remove(self, path: Path) -> None:
        self._pass("remove")
        super().remove(path)


async def ask(broker: Broker, request: Any, response: Any) -> Any:
    request.with_header(correlation_id=1, client_id="test")
    answer = await exchange(broker, bytes(request.encode(header=True, framed=True)))
    assert answer, f"{type(request).__name__} is not answered"
    return response.decode(answer, version=request.API_VERSION, header=True, framed=True)


def produce_request(value: bytes, acks: int = -1, topic: str = TOPIC, **producer: int) -> Any:
    data = ProduceRequest.TopicProduceData
    batch = bytes(build_batch([(None, value)], 1, **producer))
    return ProduceRequest[7](
        transactional_id=None, acks=acks, timeout_ms=1000,
        topic_data=[
            data(name=topic, partition_data=[data.PartitionProduceData(index=0, records=batch, version=7)], version=7)
        ],
    )  # fmt: skip


async def produce(broker: Broker, value: bytes, acks: int = -1, topic: str = TOPIC, **producer: int) -> tuple[int, int]:
    response = await ask(broker, produce_request(value, acks, topic, **producer), ProduceResponse)
    result = response.responses[0].partition_responses[0]
    return result.error_code, result.base_offset


async def fetch(broker: Broker, topic: str) -> list[tuple[int, bytes | None]]:
    wanted = FetchRequest.FetchTopic
    partition = wanted.FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=100_000)
    request = FetchRequest[4](
        max_wait_ms=0, min_bytes=0, max_bytes=100_000, isolation_level=0,
        topics=[wanted(topic=topic, partitions=[partition])],
    )  # fmt: skip
    response = await ask(broker, request, FetchResponse)
    return values_of(response.responses[0].partitions[0].records or b"")


async def join(broker: Broker) -> tuple[str, int]:
    """A member of the group g, and its generation."""
    protocol = JoinGroupRequest.JoinGroupRequestProtocol(name="range", metadata=b"")
    request = JoinGroupRequest[2](
        group_id="g", session_timeout_ms=60_000, rebalance_timeout_ms=1000, member_id="",
        protocol_type="consumer", protocols=[protocol],
    )  # fmt: skip
    joined = await ask(broker, request, JoinGroupResponse)
    assignment = SyncGroupRequest.SyncGroupRequestAssignment(member_id=joined.member_id, assignment=b"")
    sync = SyncGroupRequest[1](
        group_id="g", generation_id=joined.generation_id, member_id=joined.member_id, assignments=[assignment]
    )
    assert (await ask(broker, sync, SyncGroupResponse)).error_code == 0
    return joined.member_id, joined.generation_id


async def beat_consumer(broker: Broker, epoch: int) -> int:
    """The epoch after a heartbeat of the one member of the group k, of the consumer protocol; 0: it joins."""
    joining: dict[str, Any] = {"rebalance_timeout_ms": 1000, "subscribed_topic_names": [TOPIC], "topic_partitions": []}
    request = ConsumerGroupHeartbeatRequest(
        version=1, group_id="k", member_id="m", member_epoch=epoch, **({} if epoch else joining)
    )
    response = await ask(broker, request, ConsumerGroupHeartbeatResponse)
    assert response.error_code == 0
    return int(response.member_epoch)


@pytest.mark.parametrize(("operation", "acks"), [("write", -1), ("write", 1), ("sync", -1), ("open", 1)])
def test_others_are_answered_meanwhile(tmp_path: Path, operation: str, acks: int) -> None:
    async def scenario() -> None:
        disk = GatedDisk(operation)
        broker = Broker(BrokerOptions(tmp_path), disk)
        broker.catalog.create(TOPIC, 1, {"segment.bytes": "100"})
        broker.catalog.create("other", 1)
        assert await produce(broker, b"0") == (0, 0)
        assert await produce(broker, b"there", topic="other") == (0, 0)
        member, generation = await join(broker)
        epoch = await beat_consumer(broker, 0)
        await broker.flusher.flush(broker.offsets.log)
        with disk.stalled():
            stalled = asyncio.create_task(produce(broker, b"1", acks))
            await disk.reached()
            assert await fetch(broker, "other") == [(0, b"there")]
            assert (0, b"0") in await fetch(broker, TOPIC)
            beat = HeartbeatRequest[1](group_id="g", generation_id=generation, member_id=member)
            assert (await ask(broker, beat, HeartbeatResponse)).error_code == 0
            assert await beat_consumer(broker, epoch) == epoch
            metadata = await ask(
                broker, MetadataRequest[5](topics=None, allow_auto_topic_creation=False), MetadataResponse
            )
            assert {topic.name for topic in metadata.topics} == {TOPIC, "other"}
            assert not stalled.done(), "it is not stored yet"
        assert await stalled == (0, 1)
        await broker.close()

    asyncio.run(scenario())


def test_what_waits_is_written_in_order_and_seen_when_it_is_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = GatedDisk("write")
        broker = Broker(BrokerOptions(tmp_path), disk)
        log = broker.catalog.create(TOPIC, 1, {"segment.bytes": "200"}).partitions[0]
        with disk.stalled():
            waiting = [asyncio.create_task(produce(broker, b"%d" % n, acks)) for n, acks in enumerate([1, -1] * 4)]
            await disk.reached()
            assert await fetch(broker, TOPIC) == []
            assert not any(task.done() for task in waiting)
        assert [await task for task in waiting] == [(0, n) for n in range(8)]
        assert len(log.segments) > 1
        await broker.close()
        again = Broker(BrokerOptions(tmp_path)).catalog.topics[TOPIC].partitions[0]
        values = [pair for n in range(8) for pair in values_of(again.read(n, 1, whole_first=True).data)]
        assert values == [(n, b"%d" % n) for n in range(8)]

    asyncio.run(scenario())


def test_a_write_that_fails_drops_what_was_queued_behind_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = GatedDisk("write")
        broker = Broker(BrokerOptions(tmp_path), disk)
        log = broker.catalog.create(TOPIC, 1).partitions[0]
        sequences: list[Any] = [{"producer_id": 7, "producer_epoch": 0, "base_sequence": n} for n in range(4)]
        assert await produce(broker, b"0", **sequences[0]) == (0, 0)
        with disk.stalled():
            failing = [asyncio.create_task(produce(broker, b"?", **sequences[1]))]
            await disk.reached()
            failing += [asyncio.create_task(produce(broker, b"?", acks, **sequences[2])) for acks in (1, -1)]
            await asyncio.sleep(0)
            disk.full = True
        assert [await task for task in failing] == [(ErrorCode.KAFKA_STORAGE_ERROR, -1)] * 3
        disk.full = False
        assert (log.next_offset, log.end_offset) == (1, 1)
        assert await produce(broker, b"gap", **sequences[3]) == (ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, -1)
        for n in (1, 2, 3):
            assert await produce(broker, b"%d" % n, **sequences[n]) == (0, n)
        assert await produce(broker, b"3", **sequences[3]) == (0, 3), "a repeated batch is stored once"
        await broker.close()
        again = Broker(BrokerOptions(tmp_path)).catalog.topics[TOPIC].partitions[0]
        assert values_of(again.read(0, 10_000).data) == [(n, b"%d" % n) for n in range(4)]

    asyncio.run(scenario())


def test_offsets_are_seen_once_they_are_stored(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = GatedDisk("write")
        broker = Broker(BrokerOptions(tmp_path), disk)
        broker.catalog.create(TOPIC, 1)
        await commit(broker, "g", {(TOPIC, 0): Committed(1, -1, "", 0)})
        with disk.stalled():
            committing = asyncio.create_task(commit(broker, "g", {(TOPIC, 0): Committed(2, -1, "", 0)}))
            await disk.reached()
            assert broker.offsets.fetch("g").committed[TOPIC, 0].offset == 1
            disk.full = True
        with pytest.raises(KafkaError):
            await committing
        disk.full = False
        assert broker.offsets.fetch("g").committed[TOPIC, 0].offset == 1
        await commit(broker, "g", {(TOPIC, 0): Committed(3, -1, "", 0)})
        assert broker.offsets.fetch("g").committed[TOPIC, 0].offset == 3
        await broker.close()
        assert Broker(BrokerOptions(tmp_path)).offsets.fetch("g").committed[TOPIC, 0].offset == 3

    asyncio.run(scenario())


def test_retention_and_its_files_wait_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = GatedDisk("remove")
        broker = Broker(BrokerOptions(tmp_path), disk)
        log = broker.catalog.create(TOPIC, 1, {"segment.bytes": "100", "retention.bytes": "150"}).partitions[0]
        for n in range(6):
            assert await produce(broker, b"x" * 50) == (0, n)
        with disk.stalled():
            removing = asyncio.create_task(broker.enforce_retention())
            await disk.reached()
            assert log.start_offset > 0, "removed records are not read any more"
            metadata = await ask(
                broker, MetadataRequest[5](topics=None, allow_auto_topic_creation=False), MetadataResponse
            )
            assert len(metadata.topics) == 1
        await removing
        assert {path.name[:20] for path in log.folder.glob("*.log")} == {f"{s.base_offset:020d}" for s in log.segments}
        await broker.close()

    asyncio.run(scenario())


async def _change(broker: Broker, change: str) -> None:
    catalog = broker.catalog
    if change == "delete":
        await broker.delete_topic(TOPIC)
    else:
        begin: dict[str, Callable[[], Change[Any]]] = {
            "create": lambda: catalog.begin_create("new", 2),
            "add partitions": lambda: catalog.begin_add_partitions(TOPIC, 3),
            "alter": lambda: catalog.begin_set_configs(TOPIC, {"retention.ms": "5"}),
        }
        await broker.change_topics(begin[change])


@pytest.mark.parametrize(
    ("change", "after"),
    [
        ("create", {TOPIC: (1, "-1"), "new": (2, "-1")}),
        ("add partitions", {TOPIC: (3, "-1")}),
        ("alter", {TOPIC: (1, "5")}),
        ("delete", {}),
    ],
)
def test_a_change_of_topics_waits_alone_and_is_seen_when_it_is_durable(
    tmp_path: Path, change: str, after: dict[str, tuple[int, str]]
) -> None:
    def topics(broker: Broker) -> dict[str, tuple[int, str]]:
        known = broker.catalog.topics.items()
        return {name: (len(topic.partitions), topic.config.value("retention.ms")) for name, topic in known}

    async def scenario() -> None:
        disk = GatedDisk("sync")
        broker = Broker(BrokerOptions(tmp_path), disk)
        broker.catalog.create(TOPIC, 1)
        assert await produce(broker, b"there") == (0, 0)
        with disk.stalled():
            changing = asyncio.create_task(_change(broker, change))
            await disk.reached()
            assert topics(broker) == {TOPIC: (1, "-1")}
            assert await fetch(broker, TOPIC) == [(0, b"there")]
        await changing
        assert topics(broker) == after
        await broker.close()
        again = Broker(BrokerOptions(tmp_path))
        assert topics(again) == after
        assert len(list((tmp_path / "logs").iterdir())) == sum(count for count, _ in after.values())

    asyncio.run(scenario())


def test_producer_ids_are_given_while_the_disk_stalls(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = GatedDisk("sync")
        broker = Broker(BrokerOptions(tmp_path), disk)
        with disk.stalled():
            given = [broker.producer_ids.next() for _ in range(600)]
            tidying = asyncio.create_task(broker.tidy_state())
            await disk.reached()
            given += [broker.producer_ids.next() for _ in range(400)]
        await tidying
        given += [broker.producer_ids.next() for _ in range(1000)]
        await broker.close()
        again = Broker(BrokerOptions(tmp_path))
        assert len({*given, again.producer_ids.next()}) == 2001

    asyncio.run(scenario())
