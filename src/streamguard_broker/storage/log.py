"""The log of one partition: append, read, look up, recover.

The life of a batch: `append` checks it against the producers' state, gives it its offset and writes it to the active
segment; `begin_flush` says what must be synced for it to be durable, a thread runs that, `end_flush` moves
`flushed_offset`; readers see it from the moment it is written, as consumers of a one-node Kafka do.

No sockets, no event loop: time and files come in through `Clock` and `FileSystem`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from streamguard_broker.clock import Clock
from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.storage.compaction import Aborted, Plan, UnreadableBatch, make_plan, rewrite
from streamguard_broker.storage.filesystem import FileSystem
from streamguard_broker.storage.lookup import TimestampAndOffset, find_max_timestamp, find_timestamp
from streamguard_broker.storage.producers import AbortedTransaction, ProducerStates
from streamguard_broker.storage.records import (
    NO_PRODUCER_ID,
    BatchHeader,
    assign_offset,
    is_commit_marker,
)
from streamguard_broker.storage.recovery import recover
from streamguard_broker.storage.segment import Segment

log = logging.getLogger(__name__)

CHECKPOINT_INTERVAL_BYTES = 16 * 1024 * 1024
LEADER_EPOCH = 0
START_OFFSET_FILE = "log-start-offset"
CLEAN_OFFSET_FILE = "cleaned-up-to"


@dataclass
class LogConfig:
    """What the topic's configuration says about its segments. Sizes in bytes, times in ms, -1: no limit."""

    segment_bytes: int = 64 * 1024 * 1024
    segment_ms: int = 7 * 24 * 3600 * 1000
    retention_bytes: int = -1
    retention_ms: int = -1
    delete: bool = True
    compact: bool = False
    delete_retention_ms: int = 24 * 3600 * 1000
    min_compaction_lag_ms: int = 0
    min_dirty_ratio: float = 0.5


class Appended(NamedTuple):
    """Where a batch is. `duplicate`: it was there before, nothing was written."""

    base_offset: int
    last_offset: int
    duplicate: bool


class ReadResult(NamedTuple):
    """Bytes of batches, the first of which holds the offset asked for; the last may be cut short, as Kafka's may."""

    data: bytes
    aborted: list[AbortedTransaction]


@dataclass
class FlushWork:
    """What one sync covers. `run` may be called on any thread."""

    fs: FileSystem
    segments: list[Segment]
    sizes: list[int]
    checkpoints: list[tuple[Path, bytes]]
    next_offset: int
    error: OSError | None = None
    created: set[Path] = field(default_factory=set)

    def run(self) -> None:
        """Sync the segments, oldest first, then write their checkpoints; an OSError ends in `error`."""
        try:
            for segment in self.segments:
                self.fs.sync(segment.fd)
            for folder in self.created:
                self.fs.sync_directory(folder)
            for path, data in self.checkpoints:
                self.fs.replace_file(path, data, durable=False)
        except OSError as error:
            self.error = error


@dataclass
class CompactionWork:
    """One pass over sealed segments. `run` may be called on any thread."""

    fs: FileSystem
    segments: list[Segment]
    start: int
    aborted: Aborted
    tombstones_before_ms: int
    plan: Plan | None = None
    rewritten: list[tuple[Segment, Path]] = field(default_factory=list)
    error: OSError | None = None

    def run(self) -> None:
        """Write the smaller segments beside the old ones; an OSError ends in `error`."""
        try:
            end = self.segments[-1].next_offset
            self.plan = make_plan(self.segments, self.start, end, self.aborted)
            for segment in self.segments:
                checkpoint = self.fs.read_file(segment.checkpoint_path)
                if checkpoint is None:
                    continue
                path = rewrite(self.fs, segment, self.plan, self.aborted, self.tombstones_before_ms)
                if path is not None:
                    # Its producers' state must outlive the batches that it is about to be the only trace of.
                    self.fs.replace_file(segment.checkpoint_path, checkpoint)
                    self.rewritten.append((segment, path))
        except OSError as error:
            self.error = error
        except UnreadableBatch:
            self.plan = None


class PartitionLog:
    """One partition's batches in `folder`. Single-threaded but for `FlushWork.run`."""

    def __init__(self, folder: Path, fs: FileSystem, clock: Clock, config: LogConfig | None = None) -> None:
        """Open and recover. Raises OSError."""
        self.folder = folder
        self.fs = fs
        self.clock = clock
        self.config = config or LogConfig()
        self.producers = ProducerStates()
        self.on_append: set[Callable[[int], None]] = set()
        self.failure: str | None = None
        self.closed = False
        self._compacting = False
        fs.make_directory(folder)
        recovered = recover(fs, folder, clock.wall_ms())
        self.segments, self.producers, self.truncated_bytes = (
            recovered.segments,
            recovered.producers,
            recovered.truncated_bytes,
        )
        self.active = self.segments[-1]
        self._sealing = [s for s in self.segments[:-1] if s.synced_size < s.size or s.sealed_checkpoint is not None]
        self.start_offset = max(self._stored_offset(START_OFFSET_FILE), self.segments[0].base_offset)
        self._clean_offset = min(self._stored_offset(CLEAN_OFFSET_FILE), self.active.base_offset)
        # A checkpoint over the whole active segment was written after its name was synced; anything less proves nothing.
        self._new_names = not 0 < self.active.size == self.active.checkpointed_size
        self.flushed_offset = self.segments[0].base_offset if recovered.unsynced else self.end_offset

    # Offsets

    @property
    def end_offset(self) -> int:
        """The offset the next record gets; with one node this is the high watermark too."""
        return self.active.next_offset

    @property
    def stable_offset(self) -> int:
        """The last stable offset: where the oldest open transaction begins, or the end."""
        unstable = self.producers.first_unstable_offset()
        return self.end_offset if unstable is None else unstable

    @property
    def size(self) -> int:
        """Bytes in all segments."""
        return sum(segment.size for segment in self.segments)

    # Writing

    def append(self, batch: bytearray | memoryview, header: BatchHeader) -> Appended:
        """Give a validated batch its offset and write it; `batch` is patched in place.

        Raises KafkaError: see ProducerStates.check, and KAFKA_STORAGE_ERROR when the disk refuses.
        """
        if self.failure is not None:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, self.failure)
        idempotent = header.producer_id != NO_PRODUCER_ID
        if idempotent and not header.is_control:
            duplicate_at = self.producers.check(header)
            if duplicate_at is not None:
                return Appended(duplicate_at, duplicate_at + header.last_offset_delta, True)
        base_offset = self.end_offset
        assign_offset(batch, base_offset, LEADER_EPOCH)
        header = header._replace(base_offset=base_offset, leader_epoch=LEADER_EPOCH)
        try:
            if self._must_roll(header.size):
                self.roll()
            self.active.append(batch, header)
        except OSError as error:
            log.error("%s: cannot write: %s", self.folder.name, error)
            raise KafkaError(
                ErrorCode.KAFKA_STORAGE_ERROR, f"The partition cannot be written: {error.strerror}."
            ) from error
        if idempotent:
            self._note_producer(batch, header)
        if self.on_append:
            for notify in tuple(self.on_append):
                notify(header.size)
        return Appended(base_offset, header.last_offset, False)

    def _note_producer(self, batch: bytearray | memoryview, header: BatchHeader) -> None:
        if header.is_control:
            self.producers.complete(header, header.base_offset, commit=is_commit_marker(batch))
        else:
            self.producers.update(header, header.base_offset)

    def _must_roll(self, incoming: int) -> bool:
        if not self.active.size:
            return False
        return (
            self.active.size + incoming > self.config.segment_bytes
            or self.clock.wall_ms() - self.active.created_ms > self.config.segment_ms
        )

    def roll(self) -> None:
        """Begin a new segment; the old one is synced and checkpointed by the next flush. Raises OSError."""
        if not self.active.size:
            return
        self.active.seal(self.producers.snapshot())
        self._sealing.append(self.active)
        self.active = Segment(self.fs, self.folder, self.end_offset, self.clock.wall_ms())
        self.segments.append(self.active)
        self._new_names = True

    # Durability

    def begin_flush(self, *, checkpoint: bool = False) -> FlushWork | None:
        """What to sync so that everything written until now is durable; None if it is.

        `checkpoint`: also write the active segment's, whatever its size (a clean stop).
        """
        dirty = [s for s in (*self._sealing, self.active) if s.synced_size < s.size]
        due = [s for s in self._sealing if s.sealed_checkpoint is not None]
        checkpoints = [(s.checkpoint_path, s.sealed_checkpoint) for s in due if s.sealed_checkpoint is not None]
        grown = self.active.size - self.active.checkpointed_size
        if grown and (checkpoint or grown >= CHECKPOINT_INTERVAL_BYTES):
            checkpoints.append((self.active.checkpoint_path, self.active.checkpoint(self.producers.snapshot())))
            due.append(self.active)
        if not dirty and not checkpoints and not self._new_names:
            self.flushed_offset = self.end_offset
            return None
        work = FlushWork(self.fs, dirty, [s.size for s in dirty], checkpoints, self.end_offset)
        if self._new_names:
            work.created = {self.folder, self.folder.parent}
            self._new_names = False
        for segment in due:
            segment.checkpointed_size = segment.size
            segment.sealed_checkpoint = None
        for segment in dirty:
            segment.acquire()
        return work

    def end_flush(self, work: FlushWork) -> None:
        """Take note of a finished sync. After a failed one the page cache cannot be trusted: no more writes."""
        for segment, size in zip(work.segments, work.sizes, strict=True):
            if work.error is None:
                segment.synced_size = max(segment.synced_size, size)
            segment.release()
        if work.error is None:
            self.flushed_offset = max(self.flushed_offset, work.next_offset)
            done = [s for s in self._sealing if s.synced_size == s.size and s.sealed_checkpoint is None]
            for segment in done:
                segment.release_file()
                self._sealing.remove(segment)
        elif not self.closed:
            self.failure = (
                f"The partition could not be synced ({work.error.strerror}); it is read-only until a restart."
            )
            log.error("%s: %s", self.folder.name, self.failure)

    def flush(self, *, checkpoint: bool = False) -> None:
        """Sync now, on this thread. Raises OSError."""
        work = self.begin_flush(checkpoint=checkpoint)
        if work is not None:
            work.run()
            self.end_flush(work)
            if work.error is not None:
                raise work.error

    # Reading

    def read(self, offset: int, max_bytes: int, *, committed: bool = False, whole_first: bool = True) -> ReadResult:
        """Batches from the one that holds `offset`.

        At most `max_bytes`, but with `whole_first` at least the first batch, so that a reader always gets on (KIP-74).
        `committed`: stop at the last stable offset and list the aborted transactions in the span.
        Raises KafkaError OFFSET_OUT_OF_RANGE.
        """
        if not self.start_offset <= offset <= self.end_offset:
            raise KafkaError(
                ErrorCode.OFFSET_OUT_OF_RANGE,
                f"Offset {offset} is not in {self.start_offset}..{self.end_offset}.",
            )
        limit = self.stable_offset if committed else self.end_offset
        if offset >= limit:
            return ReadResult(b"", [])
        for segment in self.segments[self._segment_slot(offset) :]:
            found = segment.find(offset)
            if found is not None:
                return self._read_segment(segment, found, max_bytes, limit, committed, whole_first)
        return ReadResult(b"", [])

    def _read_segment(
        self,
        segment: Segment,
        found: tuple[int, BatchHeader],
        max_bytes: int,
        limit: int,
        committed: bool,
        whole_first: bool,
    ) -> ReadResult:
        position, header = found
        if header.base_offset >= limit or (max_bytes < header.size and not whole_first):
            return ReadResult(b"", [])
        length = max(max_bytes, header.size)
        if limit < segment.next_offset:
            stop = segment.find(limit)
            if stop is not None:
                length = min(length, stop[0] - position)
        data = segment.read(position, length)
        if not committed:
            return ReadResult(data, [])
        end = min(limit, segment.next_offset)
        return ReadResult(data, self.producers.aborted_between(header.base_offset, end))

    def _segment_slot(self, offset: int) -> int:
        """Index of the segment that holds `offset`: the last whose base is not past it."""
        low, high = 0, len(self.segments)
        while low < high:
            middle = (low + high) // 2
            if self.segments[middle].base_offset <= offset:
                low = middle + 1
            else:
                high = middle
        return max(low - 1, 0)

    def offset_for_time(self, timestamp_ms: int, *, committed: bool = False) -> TimestampAndOffset | None:
        """The first record stamped at or after `timestamp_ms`, None if there is none."""
        limit = self.stable_offset if committed else self.end_offset
        found = find_timestamp(self.segments, timestamp_ms, self.start_offset)
        return found if found is not None and found.offset < limit else None

    def offset_of_max_timestamp(self) -> TimestampAndOffset | None:
        """The record with the highest timestamp (KIP-734), None if the log is empty."""
        return find_max_timestamp(self.segments, self.start_offset)

    # Shrinking

    def delete_before(self, offset: int) -> None:
        """Move the start of the log up to `offset` and drop segments that end before it. Raises OSError."""
        if offset <= self.start_offset:
            return
        if offset > self.end_offset:
            raise KafkaError(ErrorCode.OFFSET_OUT_OF_RANGE, f"The log end offset is {self.end_offset}.")
        self.fs.replace_file(self.folder / START_OFFSET_FILE, str(offset).encode())
        self.start_offset = offset
        self._drop_segments(lambda segment: segment.next_offset <= offset)

    def enforce_retention(self) -> int:
        """Drop whole old segments past the time or size limit, never the active one; returns how many."""
        if not self.config.delete:
            return 0
        before = len(self.segments)
        if self.config.retention_ms >= 0:
            horizon = self.clock.wall_ms() - self.config.retention_ms
            if 0 <= self.active.max_timestamp < horizon:
                self.roll()
            self._drop_segments(lambda segment: segment.max_timestamp < horizon)
        if self.config.retention_bytes >= 0:
            excess = self.size - self.config.retention_bytes

            def too_much(segment: Segment) -> bool:
                nonlocal excess
                excess -= segment.size
                return excess >= 0

            self._drop_segments(too_much)
        return max(0, before - len(self.segments))

    # Compaction

    def begin_compaction(self) -> CompactionWork | None:
        """What to compact now, None if too little is dirty. Run it on any thread, then call `end_compaction`."""
        if not self.config.compact or self.closed or self.failure is not None or self._compacting:
            return None
        now_ms = self.clock.wall_ms()
        young_ms = now_ms - self.config.min_compaction_lag_ms
        sealed = [s for s in self.segments[:-1] if s.next_offset <= self.stable_offset and s not in self._sealing]
        if self.config.min_compaction_lag_ms:
            sealed = [s for s in sealed if s.max_timestamp <= young_ms]
        dirty = sum(s.size for s in sealed if s.next_offset > self._clean_offset)
        total = sum(s.size for s in sealed)
        if not dirty or dirty < self.config.min_dirty_ratio * total:
            return None
        self._compacting = True
        for segment in sealed:
            segment.acquire()
        horizon_ms = now_ms - self.config.delete_retention_ms
        start = max(self._clean_offset, self.start_offset)
        return CompactionWork(self.fs, sealed, start, Aborted(self.producers.aborted), horizon_ms)

    def end_compaction(self, work: CompactionWork) -> None:
        """Put the rewritten segments in place. Raises OSError; what is in place then stays so."""
        self._compacting = work.plan is None and work.error is None
        if self._compacting:
            log.warning("%s: a batch cannot be decompressed; not compacted until a restart", self.folder.name)
        try:
            if work.error is not None:
                raise work.error
            for old, path in work.rewritten:
                if not self.closed and old in self.segments:
                    self._replace(old, path)
                else:
                    self.fs.remove(path)
            if work.plan is not None and not self.closed:
                self._clean_offset = work.plan.end
                self.fs.replace_file(self.folder / CLEAN_OFFSET_FILE, str(work.plan.end).encode(), durable=False)
        finally:
            for segment in work.segments:
                segment.release()

    def _replace(self, old: Segment, path: Path) -> None:
        """The log file first: its old checkpoint is void then, for it covers more bytes than there are."""
        state = old.stored_state()
        self.fs.rename(path, old.path)
        self.fs.sync_directory(self.folder)
        fresh = Segment(self.fs, self.folder, old.base_offset, old.created_ms)
        for _, header in fresh.scan(0, self.fs.size(fresh.fd)):
            fresh.note(header)
        fresh.next_offset = old.next_offset
        fresh.synced_size = fresh.size
        if state is not None:
            self.fs.replace_file(fresh.checkpoint_path, fresh.checkpoint(state))
            fresh.checkpointed_size = fresh.size
        fresh.release_file()
        self.segments[self.segments.index(old)] = fresh
        old.close()
        sizes = (old.size, fresh.size)
        log.info("%s: compacted segment %d from %d to %d bytes", self.folder.name, old.base_offset, *sizes)
        if not fresh.size and fresh is not self.segments[0]:
            self.segments.remove(fresh)
            fresh.delete()

    def _drop_segments(self, should_delete: Callable[[Segment], bool]) -> None:
        """Delete from the oldest on while `should_delete`."""
        while len(self.segments) > 1 and should_delete(self.segments[0]):
            gone = self.segments.pop(0)
            if gone in self._sealing:
                self._sealing.remove(gone)
            gone.delete()
            log.info("%s: dropped segment %d (%d bytes)", self.folder.name, gone.base_offset, gone.size)
        self.start_offset = max(self.start_offset, self.segments[0].base_offset)
        self.producers.forget_aborted(self.start_offset)

    def _stored_offset(self, name: str) -> int:
        data = self.fs.read_file(self.folder / name)
        return int(data) if data and data.isdigit() else 0

    # Ending

    def close(self, *, flush: bool = True) -> None:
        """Sync, checkpoint and close: the next start scans nothing. Raises OSError."""
        if self.closed:
            return
        self.closed = True
        try:
            if flush and self.failure is None:
                self.flush(checkpoint=True)
        finally:
            for segment in self.segments:
                segment.close()

    def delete(self) -> None:
        """Close and remove all files, with the folder."""
        self.closed = True
        for segment in self.segments:
            segment.close()
        self.fs.remove_tree(self.folder)
