"""Record batches (message format v2): header, CRC, and what a produced batch must satisfy.

Byte layout, big-endian (KIP-98, https://kafka.apache.org/documentation/#recordbatch):

    0  base offset        int64    not under the CRC: set by the broker
    8  length             int32    of what follows this field
    12 leader epoch       int32    not under the CRC: set by the broker
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
from typing import NamedTuple

from crc32c import crc32c

from streamguard_broker.errors import ErrorCode, KafkaError

_HEADER = struct.Struct(">qiibIhiqqqhii")
_LENGTH_AND_COUNT = struct.Struct(">i45xi")
_CRC = struct.Struct(">I")
_BASE_OFFSET = struct.Struct(">q")
_LEADER_EPOCH = struct.Struct(">i")
HEADER_SIZE = _HEADER.size
PREFIX_SIZE = 12  # base offset and length
_EPOCH_POSITION = 12
_CRC_POSITION = 17
_ATTRIBUTES_POSITION = 21
_MAX_TIMESTAMP_POSITION = 35

MAGIC = 2
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


def increment_sequence(sequence: int, by: int) -> int:
    """Sequences are in 0 .. 2**31-1 and wrap to 0."""
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
    return int(crc32c(memoryview(batch)[_ATTRIBUTES_POSITION : header.size]))


def assign_offset(batch: bytearray | memoryview, base_offset: int, leader_epoch: int) -> None:
    """Set the two fields that the broker assigns; the CRC does not cover them."""
    _BASE_OFFSET.pack_into(batch, 0, base_offset)
    _LEADER_EPOCH.pack_into(batch, _EPOCH_POSITION, leader_epoch)


def stamp_append_time(batch: bytearray | memoryview, now_ms: int) -> None:
    """Change the batch to log-append time: sets max timestamp, attribute bit and CRC."""
    attributes = struct.unpack_from(">h", batch, _ATTRIBUTES_POSITION)[0]
    struct.pack_into(">h", batch, _ATTRIBUTES_POSITION, attributes | LOG_APPEND_TIME)
    struct.pack_into(">q", batch, _MAX_TIMESTAMP_POSITION, now_ms)
    _CRC.pack_into(batch, _CRC_POSITION, crc32c(memoryview(batch)[_ATTRIBUTES_POSITION:]))


def validate(batch: Buffer, max_bytes: int) -> BatchHeader:
    """Check a produced record set: exactly one complete v2 batch with a valid CRC.

    Raises KafkaError: MESSAGE_TOO_LARGE, UNSUPPORTED_FOR_MESSAGE_FORMAT, CORRUPT_MESSAGE or INVALID_RECORD.
    """
    size = len(batch)
    if size < HEADER_SIZE:
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, f"A record set of {size} bytes is shorter than a batch header.")
    if memoryview(batch)[16] != MAGIC:
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
    if header.producer_id != NO_PRODUCER_ID and header.base_sequence < 0:
        raise KafkaError(ErrorCode.INVALID_RECORD, "A batch with a producer id has no sequence.")
    return header


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
    """A batch with header and CRC from encoded records.

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
        MAGIC,
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
    _CRC.pack_into(out, _CRC_POSITION, crc32c(memoryview(out)[_ATTRIBUTES_POSITION:]))
    return out
