"""Fetch (1): bytes from the segment files to the socket, with long polling.

Sessions (KIP-227) are refused as the KIP provides: a client that asks for one gets session id 0, and goes on with full
requests.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from typing import Any

from kafka.protocol.consumer import FetchRequest

from streamguard.broker.catalog import Topic
from streamguard.broker.errors import ErrorCode, KafkaError
from streamguard.broker.registry import Call, handles
from streamguard.broker.storage.log import LEADER_EPOCH, PartitionLog
from streamguard.broker.storage.producers import AbortedTransaction
from streamguard.broker.storage.records import count_records
from streamguard.broker.wire import Writer

_FLEXIBLE = 12
_BY_ID = 13
_NO_ID = uuid.UUID(int=0)


@dataclass
class _Part:
    """One partition's share of the response."""

    index: int
    code: ErrorCode = ErrorCode.NONE
    end_offset: int = -1
    stable_offset: int = -1
    start_offset: int = -1
    aborted: list[AbortedTransaction] | None = None
    data: bytes = b""


_Parts = list[tuple[str | uuid.UUID, list[_Part]]]


@handles(FetchRequest, 4, 18)
async def fetch(call: Call, request: Any) -> Any:
    """Answer at once if `min_bytes` are there (or something is wrong), else when they are or `max_wait_ms` is over."""
    if request.session_id:
        return _encode(call.version, [], ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + max(request.max_wait_ms, 0) / 1000
    while True:
        parts, size, failed = _read(call, request)
        remaining = deadline - loop.time()
        if failed or size >= request.min_bytes or remaining <= 0:
            return _encode(call.version, parts, ErrorCode.NONE)
        await _growth(_logs(call, request), request.min_bytes - size, remaining)


async def _growth(logs: list[PartitionLog], wanted: int, timeout: float) -> None:
    """Wait until `wanted` bytes have come to these logs, `timeout` seconds at most."""
    loop = asyncio.get_running_loop()
    enough: asyncio.Future[None] = loop.create_future()
    come = 0

    def grown(size: int) -> None:
        nonlocal come
        come += size
        if come >= wanted and not enough.done():
            enough.set_result(None)

    def over() -> None:
        if not enough.done():
            enough.set_result(None)

    timer = loop.call_later(timeout, over)
    for log in logs:
        log.on_append.add(grown)
    try:
        await enough
    finally:
        timer.cancel()
        for log in logs:
            log.on_append.discard(grown)


def _topic(call: Call, wanted: Any) -> Topic | None:
    catalog = call.broker.catalog
    return catalog.by_id.get(wanted.topic_id) if call.version >= _BY_ID else catalog.get(wanted.topic)


def _logs(call: Call, request: Any) -> list[PartitionLog]:
    logs = []
    for wanted in request.topics:
        topic = _topic(call, wanted)
        if topic is not None:
            logs += [topic.partitions[p.partition] for p in wanted.partitions if p.partition < len(topic.partitions)]
    return logs


def _read(call: Call, request: Any) -> tuple[_Parts, int, bool]:
    """The response as of now, its size in log bytes, and whether any partition failed."""
    budget = min(request.max_bytes, call.broker.options.fetch_max_bytes)
    committed = request.isolation_level == 1
    parts: _Parts = []
    size, failed = 0, False
    for wanted in request.topics:
        topic = _topic(call, wanted)
        partitions = []
        for asked in wanted.partitions:
            part = _Part(asked.partition)
            try:
                log = _log(call, topic, asked)
                _fill(part, log, asked, budget - size, committed, first=size == 0)
            except KafkaError as error:
                part.code, failed = error.code, True
            size += len(part.data)
            if part.data and topic is not None:
                call.broker.metrics.fetched(topic.name, count_records(part.data), len(part.data))
            partitions.append(part)
        parts.append(((wanted.topic_id or _NO_ID) if call.version >= _BY_ID else wanted.topic, partitions))
    return parts, size, failed


def _log(call: Call, topic: Topic | None, asked: Any) -> PartitionLog:
    if topic is None:
        by_id = call.version >= _BY_ID
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_ID if by_id else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    if not 0 <= asked.partition < len(topic.partitions):
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    if asked.current_leader_epoch > LEADER_EPOCH:
        raise KafkaError(ErrorCode.UNKNOWN_LEADER_EPOCH)
    log: PartitionLog = topic.partitions[asked.partition]
    return log


def _fill(part: _Part, log: PartitionLog, asked: Any, budget: int, committed: bool, *, first: bool) -> None:
    part.end_offset = log.end_offset
    part.stable_offset = log.stable_offset
    part.start_offset = log.start_offset
    if budget <= 0 and not first:
        if not log.start_offset <= asked.fetch_offset <= log.end_offset:
            raise KafkaError(ErrorCode.OFFSET_OUT_OF_RANGE)
        return
    try:
        result = log.read(
            asked.fetch_offset, min(asked.partition_max_bytes, budget), committed=committed, whole_first=first
        )
    except OSError as error:
        raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, str(error.strerror)) from error
    part.data = result.data
    if committed:
        part.aborted = result.aborted


def _encode(version: int, parts: _Parts, code: ErrorCode) -> list[bytes | bytearray]:
    writer = Writer(flexible=version >= _FLEXIBLE)
    writer.int32(0)
    if version >= 7:
        writer.int16(code)
        writer.int32(0)
    writer.array_length(len(parts))
    for key, partitions in parts:
        if isinstance(key, uuid.UUID):
            writer.raw(key.bytes)
        else:
            writer.string(key)
        writer.array_length(len(partitions))
        for part in partitions:
            _encode_part(writer, version, part)
        writer.tags()
    writer.tags()
    return writer.finish()


def _encode_part(writer: Writer, version: int, part: _Part) -> None:
    writer.int32(part.index)
    writer.int16(part.code)
    writer.int64(part.end_offset)
    writer.int64(part.stable_offset)
    if version >= 5:
        writer.int64(part.start_offset)
    writer.array_length(None if part.aborted is None else len(part.aborted))
    for aborted in part.aborted or ():
        writer.int64(aborted.producer_id)
        writer.int64(aborted.first_offset)
        writer.tags()
    if version >= 11:
        writer.int32(-1)
    writer.records(part.data)
    writer.tags()
