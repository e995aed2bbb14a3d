"""Produce (0): from the frame to the partition, decoded by hand, since most bytes arrive here.

Behaviour
- The batch of every partition is queued when the request is read, in the order of requests; the thread of the disk
  writes it. The response to `acks=1` waits for that, and the end of a request with `acks=0` does too, so that no client
  fills the memory; `acks=all` waits for one sync of each partition, which all waiting requests share.
- One batch of message format v2 for each partition. Batches are stored as received; only base offset and leader epoch
  are set, with LogAppendTime the timestamp too.
- `timeout_ms` is ignored: there are no replicas to wait for.
- Throttling is always 0. A batch with a record that the topic's settings forbid is rejected, with the index of each such
  record and what is wrong (`storage.record_checks`).

Version notes
- 0 to 2 are advertised, because librdkafka looks for them (KAFKA-18659), and not supported: they have older message
  formats. The connection ends, as with Kafka 4.
- 3: transactional id. 5: log start offset. 7: zstd, accepted in any version. 8: record errors and error message
  (KIP-467). 9: flexible.
- 11, 12: for the second transaction protocol (KIP-890), which is not finalised here; handled like 10.
- 13: topic ids instead of names (KIP-516).
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import Any

from kafka.protocol.producer import ProduceRequest

from streamguard_broker.catalog import Topic
from streamguard_broker.errors import ErrorCode, InvalidRecordsError, KafkaError
from streamguard_broker.registry import Call, handles
from streamguard_broker.storage.batch import stamp_append_time, validate
from streamguard_broker.storage.log import PartitionLog
from streamguard_broker.storage.record_checks import check_records
from streamguard_broker.wire import Reader, Writer

_FLEXIBLE = 9
_BY_ID = 13


@dataclass
class _Result:
    """The result of one partition of the request."""

    index: int
    code: ErrorCode = ErrorCode.NONE
    message: str | None = None
    bad_records: list[tuple[int, str]] = field(default_factory=list)
    base_offset: int = -1
    append_time_ms: int = -1
    start_offset: int = -1
    log: PartitionLog | None = None
    record_count: int = 0
    size: int = 0


_TopicKey = str | uuid.UUID
_Results = list[tuple[_TopicKey, list[_Result]]]
_Waits = list[tuple[_TopicKey, _Result, asyncio.Future[None] | None]]


@handles(ProduceRequest, 3, 13, advertised_min=0, raw=True, pipelined=True)
def produce(call: Call, body: memoryview) -> Any:
    """Append all batches at once, in the order of requests; answer when they are as durable as `acks` asks."""
    reader = Reader(body, flexible=call.version >= _FLEXIBLE)
    transactional_id = reader.string()
    acks = reader.int16()
    reader.int32()
    results: _Results = []
    for _ in range(reader.array_length()):
        results.append(_read_topic(call, reader, acks, transactional_id))
    broker = call.broker
    done = broker.flusher.request if acks == -1 else broker.writer.written
    waits = [
        (name, result, done(result.log))
        for name, partitions in results
        for result in partitions
        if result.log is not None
    ]
    return _answer(call, acks, results, waits)


def _read_topic(call: Call, reader: Reader, acks: int, transactional_id: str | None) -> tuple[_TopicKey, list[_Result]]:
    catalog = call.broker.catalog
    key: _TopicKey
    if call.version >= _BY_ID:
        key = uuid.UUID(bytes=bytes(reader.take(16)))
        topic = catalog.by_id.get(key)
        missing = ErrorCode.UNKNOWN_TOPIC_ID
    else:
        key = reader.string() or ""
        topic = catalog.get(key)
        missing = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    results = []
    for _ in range(reader.array_length()):
        result = _Result(reader.int32())
        records = reader.bytes()
        reader.tags()
        try:
            if acks not in (-1, 0, 1):
                raise KafkaError(ErrorCode.INVALID_REQUIRED_ACKS)
            if topic is None:
                raise KafkaError(missing)
            _append(call, topic, result, records, transactional_id)
        except KafkaError as error:
            result.code, result.message = error.code, error.message
            result.bad_records = error.records if isinstance(error, InvalidRecordsError) else []
        results.append(result)
    reader.tags()
    return key, results


def _append(
    call: Call, topic: Topic, result: _Result, records: memoryview | None, transactional_id: str | None
) -> None:
    if not 0 <= result.index < len(topic.partitions):
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    if records is None:
        raise KafkaError(ErrorCode.INVALID_RECORD, "The request has no records for this partition.")
    broker = call.broker
    config = topic.config
    header = validate(records, config.max_message_bytes)
    if header.is_transactional:
        broker.transactions.check_batch(transactional_id, header, (topic.name, result.index))
    log = topic.partitions[result.index]
    result.start_offset = log.start_offset
    rules = config.record_rules
    check_records(records, header, rules, broker.clock.wall_ms())
    if rules.log_append_time:
        result.append_time_ms = broker.clock.wall_ms()
        stamp_append_time(records, result.append_time_ms)
        header = header._replace(max_timestamp=result.append_time_ms)
    appended = log.append(records, header)
    result.base_offset = appended.base_offset
    result.start_offset = log.start_offset
    result.log = log
    if not appended.duplicate:
        result.record_count, result.size = header.record_count, header.size


async def _answer(call: Call, acks: int, results: _Results, waits: _Waits) -> Any:
    """Wait for the write or the sync that covers each append of this request. Nothing is sent for `acks=0`."""
    for key, result, wait in waits:
        try:
            if wait is not None:
                await wait
        except KafkaError as error:
            result.code, result.message, result.base_offset = error.code, error.message, -1
            continue
        topic = call.broker.catalog.by_id.get(key) if isinstance(key, uuid.UUID) else call.broker.catalog.get(key)
        if topic is not None and result.record_count:
            call.broker.metrics.produced(topic.name, result.record_count, result.size)
    return None if acks == 0 else _encode(call.version, results)


def _encode(version: int, results: _Results) -> list[bytes | bytearray]:
    writer = Writer(flexible=version >= _FLEXIBLE)
    writer.array_length(len(results))
    for key, partitions in results:
        if isinstance(key, uuid.UUID):
            writer.raw(key.bytes)
        else:
            writer.string(key)
        writer.array_length(len(partitions))
        for result in partitions:
            writer.int32(result.index)
            writer.int16(result.code)
            writer.int64(result.base_offset)
            writer.int64(result.append_time_ms)
            if version >= 5:
                writer.int64(result.start_offset)
            if version >= 8:
                _encode_bad_records(writer, result.bad_records)
                writer.string(result.message)
            writer.tags()
        writer.tags()
    writer.int32(0)
    writer.tags()
    return writer.finish()


def _encode_bad_records(writer: Writer, records: list[tuple[int, str]]) -> None:
    writer.array_length(len(records))
    for index, message in records:
        writer.int32(index)
        writer.string(message)
        writer.tags()
