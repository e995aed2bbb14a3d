"""Compaction of segments: of each key only the latest record stays (`cleanup.policy=compact`).

One pass over full segments: `make_plan` maps keys to their latest offsets, from where the last pass ended, up to the
limit of the map; `rewrite` copies each segment up to there without superseded records. Offsets never change: a batch
keeps its base and last offset, whatever is left in it. Aborted records are removed, transaction markers stay, open
transactions are not compacted. A null value (tombstone) stays for `delete_retention_ms` after its timestamp, so that
readers see the deletion. The active segment is never compacted, as in Kafka.

https://kafka.apache.org/documentation/#compaction. Runs on any thread: full segments do not change. `storage.compactor`
decides when, and puts the result in place.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamguard_broker.storage.batch import BatchHeader, frame_batch
from streamguard_broker.storage.codecs import compress, iter_records
from streamguard_broker.storage.filesystem import FileSystem, write_all
from streamguard_broker.storage.producers import AbortedTransaction
from streamguard_broker.storage.records import Record, encode_headers, encode_record
from streamguard_broker.storage.segment import Segment

MAX_KEYS = 250_000
CLEANED_SUFFIX = ".cleaned"


class UnreadableBatch(Exception):
    """A batch that cannot be decoded: its segment cannot be compacted."""


def _digest(key: bytes) -> bytes:
    """At most sixteen bytes for any key, so that the size of the map does not depend on that of the keys."""
    return key if len(key) <= 16 else hashlib.blake2b(key, digest_size=16).digest()


@dataclass
class Plan:
    """The latest offset of each key seen in [`start`, `end`)."""

    latest: dict[bytes, int]
    start: int
    end: int


class Aborted:
    """Whether a transactional record was aborted."""

    def __init__(self, transactions: Sequence[AbortedTransaction]) -> None:
        self._spans: dict[int, list[tuple[int, int]]] = {}
        for t in sorted(transactions, key=lambda t: t.first_offset):
            self._spans.setdefault(t.producer_id, []).append((t.first_offset, t.last_offset))

    def covers(self, header: BatchHeader) -> bool:
        spans = self._spans.get(header.producer_id)
        if not spans or not header.is_transactional:
            return False
        slot = bisect_right(spans, (header.base_offset, 2**63)) - 1
        return slot >= 0 and header.base_offset <= spans[slot][1]


def _records(batch: bytes, header: BatchHeader) -> list[Record]:
    records = iter_records(batch, header)
    undecoded = len(records) == 1 and records[0].key is None and records[0].value is None
    if undecoded or len(records) != header.record_count:
        raise UnreadableBatch
    return records


def make_plan(segments: Sequence[Segment], start: int, limit: int, aborted: Aborted) -> Plan:
    """Map keys from offset `start` on, to `limit` or until the map is full."""
    latest: dict[bytes, int] = {}
    end = start
    for segment in segments:
        if segment.next_offset <= start:
            continue
        for position, header in segment.scan():
            if header.last_offset < start:
                continue
            if header.last_offset >= limit or len(latest) >= MAX_KEYS:
                return Plan(latest, start, end)
            if not header.is_control and not aborted.covers(header):
                for record in _records(segment.read(position, header.size), header):
                    if record.key is not None:
                        latest[_digest(record.key)] = record.offset
            end = header.next_offset
        end = max(end, min(segment.next_offset, limit))
    return Plan(latest, start, end)


def rewrite(fs: FileSystem, segment: Segment, plan: Plan, aborted: Aborted, tombstones_before_ms: int) -> Path | None:
    """Write the records of `segment` that stay to a new file, synced; None if all stay. Raises OSError."""
    path = segment.path.with_name(segment.path.name + CLEANED_SUFFIX)
    fs.remove(path)
    fd = fs.open(path)
    size = 0
    changed = False
    try:
        for position, header in segment.scan():
            batch = segment.read(position, header.size)
            kept: bytes | bytearray = batch
            if not header.is_control and header.last_offset < plan.end:
                kept = _filter(batch, header, plan, aborted, tombstones_before_ms)
            changed = changed or kept is not batch
            if kept:
                write_all(fs, fd, kept, size)
                size += len(kept)
        if changed:
            fs.sync(fd)
    finally:
        fs.close(fd)
        if not changed:
            fs.remove(path)
    return path if changed else None


def _filter(
    batch: bytes, header: BatchHeader, plan: Plan, aborted: Aborted, tombstones_before_ms: int
) -> bytes | bytearray:
    """`batch` itself if all its records stay, a smaller one, or nothing."""
    if aborted.covers(header):
        return b""
    records = _records(batch, header)
    kept = [r for r in records if _stays(r, plan, tombstones_before_ms)]
    if len(kept) == len(records):
        return batch
    if not kept:
        return b""
    encoded = [
        encode_record(
            r.offset - header.base_offset,
            r.timestamp - header.base_timestamp,
            r.key,
            r.value,
            encode_headers(r.headers),
        )
        for r in kept
    ]
    return frame_batch(
        [compress(b"".join(encoded), header.attributes)],
        record_count=len(kept),
        last_offset_delta=header.last_offset_delta,
        base_offset=header.base_offset,
        base_timestamp=header.base_timestamp,
        max_timestamp=header.max_timestamp if header.attributes & 8 else max(r.timestamp for r in kept),
        attributes=header.attributes,
        producer_id=header.producer_id,
        producer_epoch=header.producer_epoch,
        base_sequence=header.base_sequence,
    )


def _stays(record: Record, plan: Plan, tombstones_before_ms: int) -> bool:
    if record.key is None:
        return False
    latest = plan.latest.get(_digest(record.key))
    if latest is not None and record.offset < latest:
        return False
    return record.value is not None or record.timestamp >= tombstones_before_ms
