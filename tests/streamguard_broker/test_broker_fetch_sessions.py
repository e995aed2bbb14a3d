"""Fetch sessions (KIP-227), first the sessions alone, then through Fetch requests."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from kafka.protocol.consumer import FetchRequest, FetchResponse

from streamguard_broker.broker import Broker
from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.fetch_sessions import FetchSessions
from streamguard_broker.options import BrokerOptions
from streamguard_broker.storage.batch import read_header
from streamguard_broker.storage.records import build_batch
from tests.support.frames import exchange

A, B = ("t", 0), ("t", 1)


def test_a_session_keeps_adds_and_removes_partitions() -> None:
    sessions = FetchSessions()
    session, incremental = sessions.resolve(0, 0, {A: "a"}, [])
    assert session is not None and not incremental
    same, incremental = sessions.resolve(session.session_id, 1, {B: "b"}, [])
    assert same is session and incremental
    assert dict(session.partitions) == {A: "a", B: "b"}
    sessions.resolve(session.session_id, 2, {B: "b2"}, [A])
    assert dict(session.partitions) == {B: "b2"}


@pytest.mark.parametrize(
    ("known", "epoch", "code"),
    [(False, 1, ErrorCode.FETCH_SESSION_ID_NOT_FOUND), (True, 5, ErrorCode.INVALID_FETCH_SESSION_EPOCH)],
)
def test_unknown_sessions_and_epochs_are_rejected(known: bool, epoch: int, code: ErrorCode) -> None:
    sessions = FetchSessions()
    session, _ = sessions.resolve(0, 0, {A: "a"}, [])
    assert session is not None
    with pytest.raises(KafkaError) as refused:
        sessions.resolve(session.session_id if known else session.session_id ^ 1, epoch, {}, [])
    assert refused.value.code is code


def test_without_a_session_and_closing_one() -> None:
    sessions = FetchSessions()
    assert sessions.resolve(0, -1, {A: "a"}, []) == (None, False)
    session, _ = sessions.resolve(0, 0, {A: "a"}, [])
    assert session is not None and len(sessions) == 1
    assert sessions.resolve(session.session_id, -1, {A: "a"}, []) == (None, False)
    assert len(sessions) == 0


def test_the_least_recently_used_session_is_evicted() -> None:
    sessions = FetchSessions(limit=2)
    opened = [sessions.resolve(0, 0, {A: "a"}, [])[0] for _ in range(2)]
    assert opened[0] is not None and opened[1] is not None
    sessions.resolve(opened[0].session_id, 1, {}, [])
    sessions.resolve(0, 0, {B: "b"}, [])
    assert sessions.resolve(opened[0].session_id, 2, {}, [])[1]
    with pytest.raises(KafkaError):
        sessions.resolve(opened[1].session_id, 1, {}, [])


def request(session_id: int, epoch: int, offsets: dict[int, int]) -> bytes:
    topic_class = FetchRequest.FetchTopic
    partitions = [
        topic_class.FetchPartition(partition=p, fetch_offset=offset, partition_max_bytes=10_000, version=12)
        for p, offset in offsets.items()
    ]
    topics = [topic_class(topic="t", partitions=partitions, version=12)] if offsets else []
    message = FetchRequest[12](
        max_wait_ms=0, min_bytes=1, max_bytes=100_000, session_id=session_id, session_epoch=epoch, topics=topics,
        forgotten_topics_data=[],
    )  # fmt: skip
    message.with_header(correlation_id=1, client_id="x")
    return bytes(message.encode(header=True, framed=True))


def reported(answer: bytes) -> tuple[Any, dict[int, tuple[int, int]]]:
    """The response, and (end offset, bytes) of each partition in it."""
    response = FetchResponse.decode(answer, version=12, header=True, framed=True)
    return response, {
        p.partition_index: (p.high_watermark, len(p.records or b"")) for t in response.responses for p in t.partitions
    }


def test_an_incremental_response_has_what_changed(tmp_path: Path) -> None:
    async def scenario() -> None:
        broker = Broker(BrokerOptions(tmp_path))
        topic = broker.catalog.create("t", 2)
        first, parts = reported(await exchange(broker, request(0, 0, {0: 0, 1: 0})))
        assert first.session_id > 0
        assert parts == {0: (0, 0), 1: (0, 0)}
        _, parts = reported(await exchange(broker, request(first.session_id, 1, {})))
        assert parts == {}
        batch = build_batch([(None, b"v")], 1)
        topic.partitions[1].append(batch, read_header(batch))
        await broker.writer.wait_until_idle(topic.partitions[1])
        _, parts = reported(await exchange(broker, request(first.session_id, 2, {})))
        assert parts == {1: (1, len(batch))}
        _, parts = reported(await exchange(broker, request(first.session_id, 3, {1: 1})))
        assert parts == {}
        lost, _ = reported(await exchange(broker, request(first.session_id, 9, {})))
        assert lost.error_code == ErrorCode.INVALID_FETCH_SESSION_EPOCH
        await broker.close()

    asyncio.run(scenario())
