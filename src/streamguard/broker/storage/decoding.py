"""Records inside a batch of any codec. Off the hot path: lookups by time, compaction, the broker's own state."""

from __future__ import annotations

from collections.abc import Iterator

from kafka.record.default_records import DefaultRecordBatch

from streamguard.broker.storage.records import CODEC_MASK, BatchHeader, Record, iter_plain_records


def iter_records(batch: bytes, header: BatchHeader) -> Iterator[Record]:
    """The records of one batch.

    A codec whose library is not installed yields one record for the whole batch, at its base offset and highest
    timestamp: a lookup by time then lands at most one batch early, never late.
    """
    if not header.attributes & CODEC_MASK:
        yield from iter_plain_records(batch, header)
        return
    try:
        decoded = list(DefaultRecordBatch(batch))
    except (AssertionError, NotImplementedError, ImportError):
        yield Record(header.base_offset, header.max_timestamp, None, None, [])
        return
    for record in decoded:
        yield Record(record.offset, record.timestamp, record.key, record.value, list(record.headers))
