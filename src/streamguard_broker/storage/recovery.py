"""Opens a partition's folder after a clean stop or a crash.

Segments are read in order. What a checkpoint covers was synced before the checkpoint was written and is trusted; the
rest is read batch by batch: length, magic, order of offsets and CRC must be valid. The partition ends before the first
batch that is not: the rest of that segment is truncated, later segments are deleted (none has acknowledged data, for
syncs go oldest first), and the number of bytes lost is logged.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from streamguard_broker.storage.batch import MAGIC, NO_PRODUCER_ID, compute_crc, read_header
from streamguard_broker.storage.compaction import CLEANED_SUFFIX
from streamguard_broker.storage.filesystem import TEMPORARY_SUFFIX, FileSystem
from streamguard_broker.storage.producers import ProducerStates
from streamguard_broker.storage.records import is_commit_marker
from streamguard_broker.storage.segment import Segment

log = logging.getLogger(__name__)


@dataclass
class Recovered:
    """The partition as found. `unsynced`: something may not be on disk yet."""

    segments: list[Segment]
    producers: ProducerStates
    truncated_bytes: int
    unsynced: bool


def recover(fs: FileSystem, folder: Path, now_ms: int) -> Recovered:
    """Open the segments in `folder`, truncate a torn tail, rebuild the producers' state. Raises OSError."""
    names = fs.list_directory(folder)
    bases = sorted(int(name[:-4]) for name in names if name.endswith(".log") and name[:-4].isdigit())
    for name in names:
        if name.endswith((TEMPORARY_SUFFIX, CLEANED_SUFFIX)):
            fs.remove(folder / name)
    segments: list[Segment] = []
    producers = ProducerStates()
    truncated_bytes, torn, unsynced = 0, False, False
    for base in bases:
        segment = Segment(fs, folder, base, now_ms)
        if torn or (segments and base < segments[-1].next_offset):
            truncated_bytes += fs.size(segment.fd)
            torn = True
            segment.delete()
            continue
        producers, torn_bytes = _load(segment, producers, sealed=base != bases[-1])
        unsynced = unsynced or segment.synced_size < segment.size
        if base != bases[-1] and segment.checkpointed_size < segment.size:
            segment.seal(producers.snapshot())
        truncated_bytes += torn_bytes
        torn = torn_bytes > 0
        segments.append(segment)
    if truncated_bytes:
        log.warning(
            "recovered %s: truncated %d bytes after offset %d", folder.name, truncated_bytes, segments[-1].next_offset
        )
    for segment in segments[:-1]:
        if segment.synced_size == segment.size:
            segment.release_file()
    if not segments:
        segments.append(Segment(fs, folder, 0, now_ms))
    return Recovered(segments, producers, truncated_bytes, unsynced)


def _load(segment: Segment, before: ProducerStates, *, sealed: bool) -> tuple[ProducerStates, int]:
    """Checkpoint, then scan; returns the producers' state at the segment's end and the bytes truncated.

    A crash while a compacted segment replaces the old one leaves the old checkpoint: its index is invalid, its
    producers' state is still the right one.
    """
    state = segment.load_checkpoint()
    producers = before if state is None else ProducerStates.restore(state)
    file_size = segment.fs.size(segment.fd)
    for batch in segment.scan_batches(segment.size, file_size):
        header = read_header(batch)
        if (
            header.magic != MAGIC
            or header.base_offset < segment.next_offset
            or compute_crc(batch, header) != header.crc
        ):
            break
        segment.note(header)
        if header.producer_id == NO_PRODUCER_ID:
            continue
        if header.is_control:
            producers.complete(header, header.base_offset, commit=is_commit_marker(batch))
        else:
            producers.update(header, header.base_offset)
    stored = segment.stored_state() if sealed and state is None else None
    if stored is not None:
        producers = ProducerStates.restore(stored)
    torn_bytes = file_size - segment.size
    if torn_bytes:
        segment.truncate(segment.size)
    return producers, torn_bytes
