"""Records inside a batch of any codec. Off the hot path: lookups by time, compaction, the broker's own state."""

from __future__ import annotations

from kafka.record.default_records import DefaultRecordBatch

from streamguard_broker.storage.records import CODEC_MASK, BatchHeader, Record, iter_plain_records


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
