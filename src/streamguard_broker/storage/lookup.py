"""Lookups over the segments of a partition: by offset, and by timestamp (KIP-79, KIP-734)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from streamguard_broker.storage.batch import BatchHeader
from streamguard_broker.storage.codecs import iter_records
from streamguard_broker.storage.records import Record
from streamguard_broker.storage.segment import Segment


class TimestampAndOffset(NamedTuple):
    """A record's timestamp (ms) and offset."""

    timestamp: int
    offset: int


class Span(NamedTuple):
    """Bytes of consecutive batches, and the offsets they may have: `first_offset` .. `end_offset` - 1."""

    data: bytes
    first_offset: int
    end_offset: int


def read_span(
    segments: Sequence[Segment], offset: int, limit: int, max_bytes: int, *, whole_first: bool
) -> Span | None:
    """Batches of one segment, from the one that has `offset` to `limit`, an offset; None if there is none.

    `max_bytes` and `whole_first` as in `PartitionLog.read`.
    """
    first = bisect_right(segments, offset, key=lambda segment: segment.base_offset) - 1
    for segment in segments[max(first, 0) :]:
        found = segment.find(offset)
        if found is not None:
            break
    else:
        return None
    position, header = found
    if header.base_offset >= limit or (max_bytes < header.size and not whole_first):
        return None
    length = max(max_bytes, header.size)
    if limit < segment.next_offset:
        stop = segment.find(limit)
        if stop is not None:
            length = min(length, stop[0] - position)
    return Span(segment.read(position, length), header.base_offset, min(limit, segment.next_offset))


def find_timestamp(segments: Sequence[Segment], timestamp_ms: int, start_offset: int) -> TimestampAndOffset | None:
    """The first record from `start_offset` on with a timestamp at or after `timestamp_ms`."""
    for segment in segments:
        if segment.max_timestamp < timestamp_ms or segment.next_offset <= start_offset:
            continue
        for position, header in segment.scan_from_time(timestamp_ms):
            if header.max_timestamp < timestamp_ms or header.last_offset < start_offset:
                continue
            for record in _records(segment, position, header):
                if record.timestamp >= timestamp_ms and record.offset >= start_offset:
                    return TimestampAndOffset(record.timestamp, record.offset)
    return None


def find_max_timestamp(segments: Sequence[Segment], start_offset: int) -> TimestampAndOffset | None:
    """The first of the records with the highest timestamp."""
    live = [s for s in segments if s.next_offset > start_offset and s.max_timestamp_offset >= 0]
    if not live:
        return None
    best = max(live, key=lambda segment: segment.max_timestamp)
    found = best.find(best.max_timestamp_offset)
    if found is None:
        return None
    position, header = found
    for record in _records(best, position, header):
        if record.timestamp == header.max_timestamp:
            return TimestampAndOffset(record.timestamp, record.offset)
    return TimestampAndOffset(header.max_timestamp, header.last_offset)


def _records(segment: Segment, position: int, header: BatchHeader) -> list[Record]:
    return iter_records(segment.read(position, header.size), header)
