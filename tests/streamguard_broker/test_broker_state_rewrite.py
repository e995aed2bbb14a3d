"""The coordinators' state is rewritten when it has grown: nothing is lost, at any point, and old records go."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from streamguard_broker.api.group_offsets import commit
from streamguard_broker.broker import Broker
from streamguard_broker.errors import KafkaError
from streamguard_broker.groups.formats import Committed
from streamguard_broker.options import BrokerOptions
from streamguard_broker.storage import statelog
from tests.streamguard_broker.test_broker_stalled_disk import GatedDisk

TOPIC = "payments"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statelog, "REWRITE_ABOVE_BYTES", 2000)


def offsets(*numbers: int) -> dict[tuple[str, int], Committed]:
    return {(TOPIC, index): Committed(number, -1, "", 0) for index, number in enumerate(numbers)}


def committed(broker: Broker) -> list[int]:
    return [value.offset for _, value in sorted(broker.offsets.fetch("g").committed.items())]


def test_old_records_go_and_the_state_stays(tmp_path: Path) -> None:
    async def scenario() -> None:
        broker = Broker(BrokerOptions(tmp_path))
        for number in range(100):
            await commit(broker, "g", offsets(number, number + 1))
            await broker.tidy_state()
        assert broker.offsets.log.size < 8000
        assert broker.offsets.log.start_offset > 0
        await commit(broker, "other", offsets(5))
        # A crash: nothing is closed.
        broker._lock.release()
        again = Broker(BrokerOptions(tmp_path))
        assert committed(again) == [99, 100]
        assert again.offsets.fetch("other").committed == offsets(5)

    asyncio.run(scenario())


def test_a_commit_that_waits_during_a_rewrite_is_in_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = GatedDisk("write")
        broker = Broker(BrokerOptions(tmp_path), disk)
        while broker.offsets.log.size < 1900:
            await commit(broker, "g", offsets(1))
        with disk.stalled():
            waiting = [asyncio.create_task(commit(broker, f"group-{n}", offsets(n))) for n in range(20)]
            await disk.reached()
        await asyncio.gather(*waiting)
        await commit(broker, "g", offsets(2))
        await broker.tidy_state()
        assert broker.offsets.log.start_offset > 0
        await broker.close()
        again = Broker(BrokerOptions(tmp_path))
        assert committed(again) == [2]
        assert all(again.offsets.fetch(f"group-{n}").committed == offsets(n) for n in range(20))

    asyncio.run(scenario())


def test_a_rewrite_that_could_not_be_written_deletes_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        disk = GatedDisk("write")
        broker = Broker(BrokerOptions(tmp_path), disk)
        await commit(broker, "g", offsets(1))
        await commit(broker, "kept", offsets(7))
        while not broker.offsets.state.wants_rewrite:
            await commit(broker, "g", offsets(1))
        start = broker.offsets.log.start_offset
        disk.full = True
        with pytest.raises(KafkaError):
            await commit(broker, "g", offsets(2))
        disk.full = False
        await broker.tidy_state()
        assert broker.offsets.log.start_offset == start
        await commit(broker, "g", offsets(3))
        await broker.tidy_state()
        assert broker.offsets.log.start_offset > start, "the next one succeeds"
        await broker.close()
        again = Broker(BrokerOptions(tmp_path))
        assert committed(again) == [3]
        assert again.offsets.fetch("kept").committed == offsets(7)

    asyncio.run(scenario())
