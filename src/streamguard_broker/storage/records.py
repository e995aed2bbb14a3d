"""Records inside an uncompressed batch: decoding, and the batches that the broker writes itself.

A record: length, attributes (int8, 0), timestamp delta, offset delta, key, value, headers. Lengths and deltas are zigzag
varints as in Protocol Buffers; length -1 is null (https://kafka.apache.org/documentation/#record).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from streamguard_broker.storage.batch import (
    CONTROL,
    HEADER_SIZE,
    LOG_APPEND_TIME,
    NO_PRODUCER_ID,
    TRANSACTIONAL,
    BatchHeader,
    Buffer,
    frame_batch,
    read_header,
)


class Record(NamedTuple):
    """One decoded record; offsets are absolute, times in ms."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


def _varint(value: int) -> bytes:
    """A zigzag varint."""
    zigzag = (value << 1) ^ (value >> 63)
    out = bytearray()
    while zigzag & ~0x7F:
        out.append((zigzag & 0x7F) | 0x80)
        zigzag >>= 7
    out.append(zigzag)
    return bytes(out)


def _read_varint(data: Buffer, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return (result >> 1) ^ -(result & 1), position
        shift += 7


def _bytes_field(value: bytes | None) -> bytes:
    return _varint(-1) if value is None else _varint(len(value)) + value


def encode_record(
    delta: int, timestamp_delta: int, key: bytes | None, value: bytes | None, headers: bytes = b"\x00"
) -> bytes:
    """One record; `headers` is the encoded header block (default: none)."""
    body = b"\x00" + _varint(timestamp_delta) + _varint(delta) + _bytes_field(key) + _bytes_field(value) + headers
    return _varint(len(body)) + body


def encode_headers(headers: list[tuple[str, bytes | None]]) -> bytes:
    """The header block of a record."""
    parts = [_varint(len(headers))]
    for name, value in headers:
        parts += [_bytes_field(name.encode()), _bytes_field(value)]
    return b"".join(parts)


def every_record_has_a_key(batch: Buffer, header: BatchHeader) -> bool:
    """Whether no key of an uncompressed batch is null; other fields are skipped."""
    position = HEADER_SIZE
    for _ in range(header.record_count):
        length, position = _read_varint(batch, position)
        at = position + 1
        for _field in range(2):  # timestamp and offset deltas
            _delta, at = _read_varint(batch, at)
        if batch[at] == 1:  # zigzag -1
            return False
        position += length
    return True


def build_batch(
    records: Iterable[tuple[bytes | None, bytes | None]],
    timestamp_ms: int,
    *,
    attributes: int = 0,
    producer_id: int = NO_PRODUCER_ID,
    producer_epoch: int = -1,
    base_sequence: int = -1,
) -> bytearray:
    """An uncompressed batch of (key, value) records, all of one timestamp, at base offset 0."""
    encoded = [encode_record(i, 0, key, value) for i, (key, value) in enumerate(records)]
    return frame_batch(
        encoded,
        last_offset_delta=len(encoded) - 1,
        base_timestamp=timestamp_ms,
        max_timestamp=timestamp_ms,
        attributes=attributes,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        base_sequence=base_sequence,
    )


def control_batch(*, commit: bool, producer_id: int, producer_epoch: int, timestamp_ms: int) -> bytearray:
    """A transaction marker (KIP-98): key = version int16, type int16 (0 abort, 1 commit); value = version, epoch."""
    key = struct.pack(">hh", 0, 1 if commit else 0)
    value = struct.pack(">hi", 0, 0)
    return build_batch(
        [(key, value)],
        timestamp_ms,
        attributes=TRANSACTIONAL | CONTROL,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
    )


def is_commit_marker(batch: Buffer) -> bool:
    """Whether a control batch commits (else it aborts)."""
    record = next(iter_plain_records(batch, read_header(batch)))
    return record.key is not None and struct.unpack_from(">h", record.key, 2)[0] == 1


def iter_plain_records(batch: Buffer, header: BatchHeader) -> Iterator[Record]:
    """The records of one uncompressed batch."""
    position = HEADER_SIZE
    for _ in range(header.record_count):
        length, position = _read_varint(batch, position)
        end = position + length
        timestamp_delta, position = _read_varint(batch, position + 1)
        offset_delta, position = _read_varint(batch, position)
        key, position = _read_bytes(batch, position)
        value, position = _read_bytes(batch, position)
        headers, position = _read_headers(batch, position)
        yield Record(header.base_offset + offset_delta, _timestamp(header, timestamp_delta), key, value, headers)
        position = end


def _timestamp(header: BatchHeader, delta: int) -> int:
    return header.max_timestamp if header.attributes & LOG_APPEND_TIME else header.base_timestamp + delta


def _read_bytes(data: Buffer, position: int) -> tuple[bytes | None, int]:
    length, position = _read_varint(data, position)
    if length < 0:
        return None, position
    return bytes(data[position : position + length]), position + length


def _read_headers(data: Buffer, position: int) -> tuple[list[tuple[str, bytes | None]], int]:
    count, position = _read_varint(data, position)
    headers = []
    for _ in range(count):
        name, position = _read_bytes(data, position)
        value, position = _read_bytes(data, position)
        headers.append(((name or b"").decode("utf-8", "replace"), value))
    return headers, position
