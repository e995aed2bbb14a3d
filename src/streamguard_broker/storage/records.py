"""Record batches (message format v2): their header, checksum, and the plain batches the broker writes itself.

A batch, big-endian (KIP-98, https://kafka.apache.org/documentation/#recordbatch):

    0  base offset        int64    not under the checksum: the broker sets it
    8  length             int32    of what follows this field
    12 leader epoch       int32    not under the checksum: the broker sets it
    16 magic              int8     2
    17 crc32c             uint32   of everything from byte 21 on
    21 attributes         int16    bits 0-2 codec, 3 log-append time, 4 transactional, 5 control
    23 last offset delta  int32
    27 base timestamp     int64    ms
    35 max timestamp      int64    ms
    43 producer id        int64    -1: none
    51 producer epoch     int16
    53 base sequence      int32
    57 record count       int32
    61 records            varint-framed, compressed as a whole
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from crc32c import crc32c

from streamguard_broker.errors import ErrorCode, KafkaError

_HEADER = struct.Struct(">qiibIhiqqqhii")
HEADER_SIZE = _HEADER.size
_LENGTH_AND_COUNT = struct.Struct(">i45xi")
_CRC = struct.Struct(">I")
_PLACE_OFFSET = struct.Struct(">q")
_PLACE_EPOCH = struct.Struct(">i")
PREFIX_SIZE = 12  # base offset and length
CRC_POSITION = 17
ATTRIBUTES_POSITION = 21
MAX_TIMESTAMP_POSITION = 35

CODEC_MASK = 0x07
LOG_APPEND_TIME = 0x08
TRANSACTIONAL = 0x10
CONTROL = 0x20

NO_PRODUCER_ID = -1

Buffer = bytes | bytearray | memoryview


class BatchHeader(NamedTuple):
    """The 61 bytes before the records. Times in ms, `length` in bytes after the length field."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def size(self) -> int:
        """Bytes of the whole batch."""
        return self.length + PREFIX_SIZE

    @property
    def last_offset(self) -> int:
        return self.base_offset + self.last_offset_delta

    @property
    def next_offset(self) -> int:
        return self.base_offset + self.last_offset_delta + 1

    @property
    def last_sequence(self) -> int:
        """Sequence of the last record; wraps from 2**31-1 to 0."""
        return increment_sequence(self.base_sequence, self.last_offset_delta)

    @property
    def is_transactional(self) -> bool:
        return bool(self.attributes & TRANSACTIONAL)

    @property
    def is_control(self) -> bool:
        return bool(self.attributes & CONTROL)


class Record(NamedTuple):
    """One decoded record; offsets are absolute, times in ms."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


def increment_sequence(sequence: int, by: int) -> int:
    """Sequences live in 0 .. 2**31-1 and wrap to 0."""
    return (sequence + by) & 0x7FFFFFFF


def read_header(data: Buffer, position: int = 0) -> BatchHeader:
    """The header at `position`. Raises struct.error if fewer than 61 bytes are there."""
    return BatchHeader._make(_HEADER.unpack_from(data, position))


def count_records(data: Buffer) -> int:
    """How many records the headers of the batches in `data` announce; a batch cut short at the end counts whole."""
    position = count = 0
    end = len(data) - HEADER_SIZE
    while position <= end:
        length, records = _LENGTH_AND_COUNT.unpack_from(data, position + 8)
        count += records
        position += length + PREFIX_SIZE
    return count


def compute_crc(batch: Buffer, header: BatchHeader) -> int:
    """The CRC of `batch` (exactly one batch), to compare with `header.crc`."""
    return int(crc32c(memoryview(batch)[ATTRIBUTES_POSITION : header.size]))


def assign_offset(batch: bytearray | memoryview, base_offset: int, leader_epoch: int) -> None:
    """Set the two fields the broker owns; the checksum does not cover them."""
    _PLACE_OFFSET.pack_into(batch, 0, base_offset)
    _PLACE_EPOCH.pack_into(batch, 12, leader_epoch)


def stamp_append_time(batch: bytearray | memoryview, now_ms: int) -> None:
    """Turn the batch to log-append time: max timestamp and attribute bit set, checksum renewed."""
    attributes = struct.unpack_from(">h", batch, ATTRIBUTES_POSITION)[0]
    struct.pack_into(">h", batch, ATTRIBUTES_POSITION, attributes | LOG_APPEND_TIME)
    struct.pack_into(">q", batch, MAX_TIMESTAMP_POSITION, now_ms)
    _CRC.pack_into(batch, CRC_POSITION, crc32c(memoryview(batch)[ATTRIBUTES_POSITION:]))


def validate(batch: Buffer, max_bytes: int) -> BatchHeader:
    """Check a produced record set: exactly one whole v2 batch with a true checksum.

    Raises KafkaError: MESSAGE_TOO_LARGE, UNSUPPORTED_FOR_MESSAGE_FORMAT, CORRUPT_MESSAGE or INVALID_RECORD.
    """
    size = len(batch)
    if size < HEADER_SIZE:
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, f"A record set of {size} bytes is shorter than a batch header.")
    if memoryview(batch)[16] != 2:
        raise KafkaError(
            ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT, "Only message format v2 (Kafka 0.11 and later) is supported."
        )
    header = read_header(batch)
    if size > max_bytes:
        raise KafkaError(
            ErrorCode.MESSAGE_TOO_LARGE, f"The batch has {size} bytes; max.message.bytes of the topic is {max_bytes}."
        )
    if header.size != size:
        raise KafkaError(ErrorCode.INVALID_RECORD, "A produce request must have exactly one batch for each partition.")
    computed = compute_crc(batch, header)
    if computed != header.crc:
        raise KafkaError(
            ErrorCode.CORRUPT_MESSAGE, f"Record batch is corrupt (stored CRC {header.crc}, computed {computed})."
        )
    if header.record_count <= 0 or header.last_offset_delta != header.record_count - 1:
        raise KafkaError(ErrorCode.INVALID_RECORD, "Record count and last offset delta of the batch do not match.")
    if header.is_control:
        raise KafkaError(ErrorCode.INVALID_RECORD, "Clients cannot write control batches.")
    return header


def _varint(value: int) -> bytes:
    """Zigzag varint, as in Protocol Buffers."""
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
    """Whether no key of an uncompressed batch is null; looks at nothing else."""
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


def frame_batch(
    encoded: list[bytes],
    *,
    last_offset_delta: int,
    base_timestamp: int,
    max_timestamp: int,
    base_offset: int = 0,
    attributes: int = 0,
    producer_id: int = NO_PRODUCER_ID,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    record_count: int | None = None,
) -> bytearray:
    """Put the header before already encoded records and seal it with its checksum.

    `record_count`: how many there are, where `encoded` is one compressed block.
    """
    body = b"".join(encoded)
    out = bytearray(HEADER_SIZE + len(body))
    _HEADER.pack_into(
        out,
        0,
        base_offset,
        len(out) - PREFIX_SIZE,
        0,
        2,
        0,
        attributes,
        last_offset_delta,
        base_timestamp,
        max_timestamp,
        producer_id,
        producer_epoch,
        base_sequence,
        len(encoded) if record_count is None else record_count,
    )
    out[HEADER_SIZE:] = body
    _CRC.pack_into(out, CRC_POSITION, crc32c(memoryview(out)[ATTRIBUTES_POSITION:]))
    return out


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
