"""Offsets by timestamp: the first record at or after a time (KIP-79), the highest timestamp (KIP-734)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from streamguard_broker.storage.codecs import iter_records
from streamguard_broker.storage.records import BatchHeader, Record
from streamguard_broker.storage.segment import Segment


class TimestampAndOffset(NamedTuple):
    """A record's timestamp (ms) and offset."""

    timestamp: int
    offset: int


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
