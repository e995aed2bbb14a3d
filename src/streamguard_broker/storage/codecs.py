"""Records of batches of any compression codec. Off the hot path: lookups by time, compaction, checks of keys."""

from __future__ import annotations

from collections.abc import Callable

from kafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from kafka.record.default_records import DefaultRecordBatch

from streamguard_broker.storage.batch import CODEC_MASK, BatchHeader
from streamguard_broker.storage.records import Record, iter_plain_records

_ENCODERS: dict[int, Callable[[bytes], bytes]] = {1: gzip_encode, 2: snappy_encode, 3: lz4_encode, 4: zstd_encode}


def iter_records(batch: bytes, header: BatchHeader) -> list[Record]:
    """The records of one batch.

    A batch that cannot be decoded (the codec's library is not installed, or a client sent invalid records with a valid
    CRC) gives one record for all of it, without key or value, at its base offset and highest timestamp: a lookup by
    time then returns an offset at most one batch too early, never too late.
    """
    try:
        if not header.attributes & CODEC_MASK:
            return list(iter_plain_records(batch, header))
        return [
            Record(record.offset, record.timestamp, record.key, record.value, list(record.headers))
            for record in DefaultRecordBatch(batch)
        ]
    except Exception:  # each codec library has errors of its own
        return [Record(header.base_offset, header.max_timestamp, None, None, [])]


def compress(encoded: bytes, attributes: int) -> bytes:
    """Encoded records compressed with the codec in the attributes of a batch."""
    codec = attributes & CODEC_MASK
    return _ENCODERS[codec](encoded) if codec else encoded
