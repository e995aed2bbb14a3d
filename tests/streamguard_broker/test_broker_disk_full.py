"""A full disk: writes are rejected with Kafka's error, reads continue, and writes do once there is space again."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest
from kafka.protocol.producer import ProduceRequest, ProduceResponse

from streamguard_broker.api.group_offsets import commit
from streamguard_broker.broker import Broker
from streamguard_broker.errors import BrokerError, ErrorCode, KafkaError
from streamguard_broker.groups.formats import Committed
from streamguard_broker.options import BrokerOptions
from streamguard_broker.storage.filesystem import Buffer, FileSystem
from streamguard_broker.storage.records import build_batch
from streamguard_broker.transactions.states import TransactionState
from tests.support.frames import TOPIC, exchange


class SmallDisk(FileSystem):
    """The real file system until `full` is set: then half of one write is taken, and nothing after that."""

    def __init__(self) -> None:
        self.full = False
        self._half_taken = False

    def write(self, fd: int, data: Buffer, position: int) -> int:
        if not self.full:
            self._half_taken = False
            return super().write(fd, data, position)
        if self._half_taken or len(data) < 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._half_taken = True
        return super().write(fd, memoryview(data)[: len(data) // 2], position)


async def produce(broker: Broker, value: bytes) -> tuple[int, int]:
    """Error code and base offset."""
    topic_class = ProduceRequest.TopicProduceData
    batch = bytes(build_batch([(None, value)], 1))
    partition = topic_class.PartitionProduceData(index=0, records=batch, version=7)
    request = ProduceRequest[7](
        transactional_id=None, acks=-1, timeout_ms=1000,
        topic_data=[topic_class(name=TOPIC, partition_data=[partition], version=7)],
    )  # fmt: skip
    request.with_header(correlation_id=1, client_id="x")
    answer = await exchange(broker, bytes(request.encode(header=True, framed=True)))
    response = ProduceResponse.decode(answer, version=7, header=True, framed=True)
    result = response.responses[0].partition_responses[0]
    return result.error_code, result.base_offset


def test_writes_are_rejected_and_reads_continue(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = SmallDisk()
        broker = Broker(BrokerOptions(tmp_path), disk)
        log = broker.catalog.create(TOPIC, 1).partitions[0]
        assert await produce(broker, b"before") == (0, 0)
        size = log.size
        disk.full = True
        assert await produce(broker, b"refused") == (ErrorCode.KAFKA_STORAGE_ERROR, -1)
        for change in (
            lambda: broker.catalog.create("more", 1),
            lambda: broker.catalog.delete(TOPIC),
            lambda: broker.catalog.add_partitions(TOPIC, 3),
            lambda: broker.catalog.set_configs(TOPIC, {"retention.ms": "1"}),
        ):
            disk._half_taken = False
            with pytest.raises(KafkaError) as refused:
                change()
            assert refused.value.code is ErrorCode.KAFKA_STORAGE_ERROR
        with pytest.raises(KafkaError) as refused:
            await commit(broker, "g", {(TOPIC, 0): Committed(1, -1, "", 0)})
        assert refused.value.code is ErrorCode.KAFKA_STORAGE_ERROR
        assert broker.offsets.fetch("g").committed == {}
        assert list(broker.catalog.topics) == [TOPIC]
        assert len(broker.catalog.topics[TOPIC].partitions) == 1
        assert len(log.read(0, 1000).data) == size
        disk.full = False
        assert await produce(broker, b"after") == (0, 1)
        await broker.close()
        again = Broker(BrokerOptions(tmp_path))
        assert again.catalog.topics[TOPIC].partitions[0].end_offset == 2
        await again.close()

    asyncio.run(scenario())


def test_no_space_at_the_start_is_one_sentence(tmp_path: Path) -> None:
    disk = SmallDisk()
    disk.full = True
    with pytest.raises(BrokerError, match="There is no space left on the disk of"):
        Broker(BrokerOptions(tmp_path), disk)


@pytest.mark.parametrize("way", ["init", "end", "housekeeping"])
def test_a_transaction_that_could_not_be_ended_is_ended_later(tmp_path: Path, way: str) -> None:
    """By its producer when it starts again or repeats the request, or by the broker itself."""

    async def scenario() -> None:
        disk = SmallDisk()
        broker = Broker(BrokerOptions(tmp_path), disk)
        broker.catalog.create(TOPIC, 1)
        coordinator = broker.transactions
        producer = await coordinator.init_producer("t", 60_000)
        await coordinator.add_partitions("t", *producer, {(TOPIC, 0)})
        disk.full = True
        with pytest.raises((KafkaError, OSError)):
            await coordinator.end("t", *producer, commit=False)
        with pytest.raises((KafkaError, OSError)):
            await coordinator.init_producer("t", 60_000)
        disk.full = False
        if coordinator.transactions["t"].state is TransactionState.PREPARE_ABORT:
            with pytest.raises(KafkaError) as refused:
                await coordinator.add_partitions("t", *producer, {(TOPIC, 0)})
            assert refused.value.code is ErrorCode.CONCURRENT_TRANSACTIONS
        if way == "end":
            await coordinator.end("t", *producer, commit=False)
        elif way == "housekeeping":
            await coordinator.abort_expired()
            assert coordinator.transactions["t"].state is TransactionState.COMPLETE_ABORT
        assert await coordinator.init_producer("t", 60_000) == (producer[0], producer[1] + 1)
        await coordinator.add_partitions("t", producer[0], producer[1] + 1, {(TOPIC, 0)})
        await broker.close()

    asyncio.run(scenario())
