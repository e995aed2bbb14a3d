"""Fetch (1): bytes from the segment files to the socket, with long polling and sessions.

Behaviour
- A fetch waits until `min_bytes` can be read, `max_wait_ms` at most. A partition with an error completes it at once; an
  unknown one only if no other is known.
- At least one complete batch is returned, of the first partition with records, whatever the limits (KIP-74). A response
  has at most `fetch_max_bytes` of the broker, and less while clients do not read theirs.
- read_committed stops at the last stable offset and lists aborted transactions; clients filter them.
- Sessions (KIP-227) are in `fetch_sessions`.

Version notes
- 4 to 18; those before have older message formats. 5: log start offset. 7: sessions. 9: the client's leader epoch, which
  must not be above 0. 11: preferred read replica, always -1. 12: flexible.
- 12: diverging epochs are never reported: there is one epoch.
- 13: topic ids instead of names (KIP-516). 15 to 18: fields for followers, ignored.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import Any

from kafka.protocol.consumer import FetchRequest

from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.fetch_sessions import NO_SESSION, FetchSession, Target, TopicKey
from streamguard_broker.registry import Call, handles
from streamguard_broker.storage.batch import count_records
from streamguard_broker.storage.log import LEADER_EPOCH, PartitionLog
from streamguard_broker.storage.producers import AbortedTransaction
from streamguard_broker.wire import Writer

_FLEXIBLE = 12
_BY_ID = 13
_WITH_SESSIONS = 7
_NO_ID = uuid.UUID(int=0)


@dataclass
class _Part:
    """One partition's share of the response."""

    key: TopicKey
    index: int
    code: ErrorCode = ErrorCode.NONE
    end_offset: int = -1
    stable_offset: int = -1
    start_offset: int = -1
    aborted: list[AbortedTransaction] | None = None
    data: bytes = b""


@dataclass
class _Reading:
    """The response as of now, and the partitions to wait for if it is too small.

    `size` in bytes of records. `cannot_progress`: waiting would not help, because a partition failed or none exists.
    """

    parts: list[_Part] = field(default_factory=list)
    logs: list[PartitionLog] = field(default_factory=list)
    size: int = 0
    cannot_progress: bool = True


@handles(FetchRequest, 4, 18)
async def fetch(call: Call, request: Any) -> Any:
    """Answer at once with `min_bytes` or after an error, else as soon as there are `min_bytes` or after `max_wait_ms`."""
    wanted = _targets(call, request)
    session, incremental = None, False
    if call.version >= _WITH_SESSIONS:
        forgotten = [(_key(call, t), p) for t in request.forgotten_topics_data for p in t.partitions]
        try:
            session, incremental = call.broker.fetch_sessions.resolve(
                request.session_id, request.session_epoch, wanted, forgotten, by_id=call.version >= _BY_ID
            )
        except KafkaError as error:
            return _encode(call.version, [], error.code, NO_SESSION)
    if session is not None:
        wanted = dict(session.partitions)
    parts = await _poll(call, request, wanted)
    if session is not None:
        parts = _changed_parts(session, parts, incremental=incremental)
    return _encode(call.version, parts, ErrorCode.NONE, session.session_id if session else NO_SESSION)


def _key(call: Call, topic: Any) -> TopicKey:
    """The topic as this version names it."""
    return (topic.topic_id or _NO_ID) if call.version >= _BY_ID else topic.topic


def _targets(call: Call, request: Any) -> dict[Target, Any]:
    return {(_key(call, topic), asked.partition): asked for topic in request.topics for asked in topic.partitions}


async def _poll(call: Call, request: Any, wanted: dict[Target, Any]) -> list[_Part]:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + max(request.max_wait_ms, 0) / 1000
    while True:
        reading = _read(call, request, wanted)
        remaining = deadline - loop.time()
        if reading.cannot_progress or reading.size >= request.min_bytes or remaining <= 0:
            break
        await _wait_for_appends(reading.logs, request.min_bytes - reading.size, remaining)
    for part in reading.parts:
        name = _topic_name(call, part.key) if part.data else None
        if name is not None:
            call.broker.metrics.fetched(name, count_records(part.data), len(part.data))
    return reading.parts


async def _wait_for_appends(logs: list[PartitionLog], wanted: int, timeout: float) -> None:
    """Wait until `wanted` bytes have been appended to these partitions, `timeout` seconds at most."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    missing = wanted

    def appended(size: int) -> None:
        nonlocal missing
        missing -= size
        if missing <= 0:
            finish()

    def finish() -> None:
        if not done.done():
            done.set_result(None)

    timer = loop.call_later(timeout, finish)
    for log in logs:
        log.on_append.add(appended)
    try:
        await done
    finally:
        timer.cancel()
        for log in logs:
            log.on_append.discard(appended)


def _changed_parts(session: FetchSession, parts: list[_Part], *, incremental: bool) -> list[_Part]:
    """The partitions of an incremental response: with records, errors, or offsets that moved since the last one."""
    changed = []
    for part in parts:
        target = (part.key, part.index)
        offsets = (part.end_offset, part.stable_offset, part.start_offset)
        failed = part.code is not ErrorCode.NONE
        if not incremental or part.data or failed or session.sent.get(target) != offsets:
            changed.append(part)
        if failed:
            session.sent.pop(target, None)
        elif target in session.partitions:
            session.sent[target] = offsets
            if part.data:
                session.rotate(target)
    return changed


def _topic_name(call: Call, key: TopicKey) -> str | None:
    if isinstance(key, uuid.UUID):
        topic = call.broker.catalog.by_id.get(key)
        return None if topic is None else topic.name
    return key


def _find(call: Call, target: Target) -> PartitionLog:
    """The partition of a target. Raises KafkaError."""
    name = _topic_name(call, target[0])
    if name is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_ID)
    log = call.broker.catalog.partition(name, target[1])
    if log is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    return log


def _read(call: Call, request: Any, wanted: dict[Target, Any]) -> _Reading:
    """Read what is there. As in Kafka, an unknown partition does not complete a fetch that has known ones."""
    budget = call.broker.budget.fetch_bytes(min(request.max_bytes, call.broker.options.fetch_max_bytes))
    committed = request.isolation_level == 1
    reading = _Reading()
    failed = False
    for target, asked in wanted.items():
        part = _Part(*target)
        reading.parts.append(part)
        try:
            log = _find(call, target)
        except KafkaError as error:
            part.code = error.code
            continue
        reading.logs.append(log)
        try:
            _fill(part, log, asked, budget - reading.size, committed, first=reading.size == 0)
        except KafkaError as error:
            part.code, failed = error.code, True
        reading.size += len(part.data)
    reading.cannot_progress = failed or not reading.logs
    return reading


def _fill(part: _Part, log: PartitionLog, asked: Any, budget: int, committed: bool, *, first: bool) -> None:
    if asked.current_leader_epoch > LEADER_EPOCH:
        raise KafkaError(ErrorCode.UNKNOWN_LEADER_EPOCH)
    try:
        result = log.read(
            asked.fetch_offset, min(asked.partition_max_bytes, budget), committed=committed, whole_first=first
        )
    except OSError as error:
        raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, str(error.strerror)) from error
    part.data = result.data
    part.end_offset = log.end_offset
    part.stable_offset = log.stable_offset
    part.start_offset = log.start_offset
    if committed:
        part.aborted = result.aborted


def _encode(version: int, parts: list[_Part], code: ErrorCode, session_id: int) -> list[bytes | bytearray]:
    by_topic: dict[TopicKey, list[_Part]] = {}
    for part in parts:
        by_topic.setdefault(part.key, []).append(part)
    writer = Writer(flexible=version >= _FLEXIBLE)
    writer.int32(0)
    if version >= _WITH_SESSIONS:
        writer.int16(code)
        writer.int32(session_id)
    writer.array_length(len(by_topic))
    for key, partitions in by_topic.items():
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
