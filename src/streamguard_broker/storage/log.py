"""`PartitionLog`: the record batches of one partition, in segments.

The life of a batch: `append` checks it against the producers' state, assigns its offsets and queues it. `begin_write`
says what to write, a thread does it, `end_write` moves `end_offset`; from then on it can be read, as from a one-node
Kafka. `begin_flush` says what to sync, a thread does it, `end_flush` moves `flushed_offset`, after which `acks=all` is
answered.

In the partition's folder:

    <base offset>.log, .index   segments and their checkpoints (`storage.segment`)
    log-start-offset            decimal, and how many offsets were removed on request; written before older segments
                                are deleted on request
    cleaned-up-to               decimal; everything before it is compacted. A hint: if it is lost, compaction repeats

Invariants:

- Segments are in order of their offsets; the last is `active`, the only one that is written.
- Offsets are assigned without gaps: a batch begins at `next_offset`. Only compaction leaves gaps, and moves no record.
- start_offset <= stable_offset <= end_offset <= next_offset, and flushed_offset <= end_offset. No read returns a batch that ends
  before `start_offset`; with `committed` none that begins at or after `stable_offset`.
- A batch of an idempotent producer is stored once, however often it is sent, over restarts too.
- A failed write changes nothing: what was queued is dropped, and nobody has been told that it is stored. After a failed sync nothing more is written until a restart (`failure`).
- After any crash the partition has a prefix of the batches written, complete and in order, at least to
  `flushed_offset`; the start offset does not move back.

Deliberately simple: one node, so the log end offset is the high watermark and the leader epoch is always 0; reads give
file bytes, not records; reads are made on the event loop, writes, syncs and compaction on threads. Time and files come in through
`Clock` and `FileSystem`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from streamguard_broker.clock import Clock
from streamguard_broker.errors import ErrorCode, KafkaError
from streamguard_broker.storage.appends import AppendQueue, WriteWork
from streamguard_broker.storage.batch import NO_PRODUCER_ID, BatchHeader, assign_offset
from streamguard_broker.storage.durability import Durability, FlushWork
from streamguard_broker.storage.filesystem import FileSystem
from streamguard_broker.storage.log_config import LogConfig
from streamguard_broker.storage.lookup import TimestampAndOffset, find_max_timestamp, find_timestamp, read_span
from streamguard_broker.storage.producers import AbortedTransaction
from streamguard_broker.storage.recovery import recover
from streamguard_broker.storage.retention import count_expired, is_expired
from streamguard_broker.storage.segment import Segment

log = logging.getLogger(__name__)

LEADER_EPOCH = 0
_START_OFFSET_FILE = "log-start-offset"
_CLEAN_OFFSET_FILE = "cleaned-up-to"


class Appended(NamedTuple):
    """Where a batch is. `duplicate`: it was stored before, nothing is written."""

    base_offset: int
    duplicate: bool


class Removed(NamedTuple):
    """How many offsets before the start offset were removed, since the partition was created.

    by_retention  by `retention.ms` or `retention.bytes`
    on_request    by DeleteRecords
    """

    by_retention: int
    on_request: int


class ReadResult(NamedTuple):
    """Bytes of batches, the first of which has the requested offset; the last may be incomplete, as in Kafka."""

    data: bytes
    aborted: list[AbortedTransaction]


class PartitionLog:
    """One partition. Single-threaded, but for `WriteWork.run`, `FlushWork.run` and `CompactionWork.run`.

    folder           the partition's folder, TOPIC-PARTITION
    config           the topic's settings; may be replaced at any time
    segments         oldest first
    active           the last segment
    producers        idempotent producers, open and aborted transactions
    start_offset     the log start offset
    clean_offset     everything before it is compacted
    truncated_bytes  what recovery removed when it was opened
    on_append        called with the size of each batch written
    closed           no more syncs
    failed_writes    how many writes failed, and dropped what was queued
    """

    def __init__(
        self,
        folder: Path,
        fs: FileSystem,
        clock: Clock,
        config: LogConfig | None = None,
        schedule: Callable[[PartitionLog], None] | None = None,
    ) -> None:
        """Open and recover. `schedule` is called when something is queued; without it, it is written at once.

        Raises OSError.
        """
        self.folder = folder
        self.fs = fs
        self.clock = clock
        self.config = config or LogConfig()
        self.on_append: set[Callable[[int], None]] = set()
        self.closed = False
        self.failed_writes = 0
        self._schedule = schedule
        fs.make_directory(folder)
        recovered = recover(fs, folder, clock.wall_ms())
        self.segments, self.producers = recovered.segments, recovered.producers
        self.truncated_bytes = recovered.truncated_bytes
        self.active = self.segments[-1]
        stored_start, self._removed_on_request = self._stored_start()
        self.start_offset = max(stored_start, self.segments[0].base_offset)
        self.clean_offset = min(self._stored_clean_offset(), self.active.base_offset)
        flushed_offset = self.segments[0].base_offset if recovered.unsynced else self.end_offset
        self._durability = Durability(fs, folder, self.segments, flushed_offset)
        self._queue = AppendQueue(self.active)

    def _stored_start(self) -> tuple[int, int]:
        """The start offset and how many offsets were removed on request: all, where the file has one number only."""
        numbers = [int(n) for n in (self.fs.read_file(self.folder / _START_OFFSET_FILE) or b"").split() if n.isdigit()]
        return (numbers[0], numbers[-1]) if numbers else (0, 0)

    def _stored_clean_offset(self) -> int:
        data = self.fs.read_file(self.folder / _CLEAN_OFFSET_FILE)
        return int(data) if data and data.isdigit() else 0

    # Offsets

    @property
    def next_offset(self) -> int:
        """The offset of the next record to be appended, after those that are queued."""
        return self._queue.next_offset

    @property
    def unwritten(self) -> bool:
        """Whether something is queued or being written."""
        return bool(self._queue)

    @property
    def end_offset(self) -> int:
        """The offset after the last record written; on one node the high watermark too."""
        return self.active.next_offset

    @property
    def stable_offset(self) -> int:
        """The last stable offset: where the oldest open transaction begins, or the end."""
        unstable = self.producers.first_unstable_offset()
        return self.end_offset if unstable is None else unstable

    @property
    def flushed_offset(self) -> int:
        """Everything before it is on disk."""
        return self._durability.flushed_offset

    @property
    def failure(self) -> str | None:
        """Why the partition is read-only; None if it is not."""
        return self._durability.failure

    @property
    def removed(self) -> Removed:
        """Offsets before `start_offset`: a partition begins at 0, so the count needs no file of its own."""
        return Removed(self.start_offset - self._removed_on_request, self._removed_on_request)

    @property
    def size(self) -> int:
        """Bytes in all segments."""
        return sum(segment.size for segment in self.segments)

    # Writing

    def append(self, batch: bytearray | memoryview, header: BatchHeader) -> Appended:
        """Assign the offsets of a validated batch and queue it; `batch` is changed in place, and kept until written.

        Raises KafkaError: see ProducerStates.check; KAFKA_STORAGE_ERROR for a read-only partition or, without
        `schedule`, a failed write.
        """
        if self.failure is not None:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, self.failure)
        if header.producer_id != NO_PRODUCER_ID and not header.is_control:
            duplicate_at = self._queue.check(header, self.producers)
            if duplicate_at is not None:
                return Appended(duplicate_at, duplicate=True)
        if self._must_roll(header.size):
            self._queue.roll(self.clock.wall_ms())
        base_offset = self.next_offset
        assign_offset(batch, base_offset, LEADER_EPOCH)
        header = header._replace(base_offset=base_offset, leader_epoch=LEADER_EPOCH)
        self._queue.add(batch, header, self.producers)
        self._queued()
        return Appended(base_offset, duplicate=False)

    def _must_roll(self, incoming: int) -> bool:
        if not self._queue.segment_size:
            return False
        return (
            self._queue.segment_size + incoming > self.config.segment_bytes
            or self.clock.wall_ms() - self._queue.created_ms > self.config.segment_ms
        )

    def roll(self) -> None:
        """Begin a new segment; the old one is synced and checkpointed by the next flush."""
        if self._queue.segment_size:
            self._queue.roll(self.clock.wall_ms())
            self._queued()

    def has_open_transaction(self, producer_id: int) -> bool:
        """Whether the producer has a transaction open here, with what is queued taken into account."""
        return self._queue.has_open_transaction(producer_id, self.producers)

    def _queued(self) -> None:
        if self._schedule is not None:
            self._schedule(self)
        else:
            self.write()

    def write(self) -> None:
        """Write what is queued now, on this thread. Raises KafkaError KAFKA_STORAGE_ERROR."""
        work = self.begin_write()
        if work is not None:
            work.run()
            failure = self.end_write(work)
            if failure is not None:
                raise failure

    def begin_write(self) -> WriteWork | None:
        """All that is queued; None if there is nothing, or a write in progress."""
        return self._queue.begin(self.fs, self.folder, self.active)

    def end_write(self, work: WriteWork) -> KafkaError | None:
        """Make what was written readable; after a failed write return why, with all that is queued dropped."""
        self._queue.end(work)
        if work.error is not None:
            self.failed_writes += 1
            self._queue = AppendQueue(self.active)
            log.error("%s: cannot write: %s", self.folder.name, work.error)
            message = f"The partition cannot be written: {work.error.strerror}."
            return KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, message)
        opened = iter(work.opened)
        for piece in work.pieces:
            if piece.new_segment is not None:
                self._durability.roll(self.active, self.producers)
                self.active = next(opened)
                self.segments.append(self.active)
            for header, commit in zip(piece.headers, piece.commits, strict=True):
                self.active.note(header)
                self.producers.record(header, commit=commit)
        if self.on_append:
            size = sum(header.size for piece in work.pieces for header in piece.headers)
            for notify in tuple(self.on_append):
                notify(size)
        return None

    # Durability

    def begin_flush(self, *, checkpoint: bool = False) -> FlushWork | None:
        """What to sync so that everything written until now is durable; None if it is.

        `checkpoint`: also write that of the active segment, whatever its size (a clean stop).
        """
        return self._durability.begin(self.active, self.producers, checkpoint=checkpoint)

    def end_flush(self, work: FlushWork) -> None:
        """Record the result of a sync. After a failed one the partition is read-only, unless it is closed anyway."""
        self._durability.end(work)
        if self.failure is not None and not self.closed:
            log.error("%s: %s", self.folder.name, self.failure)

    def flush(self, *, checkpoint: bool = False) -> None:
        """Write and sync now, on this thread. Raises OSError, and KafkaError as `write`."""
        self.write()
        work = self.begin_flush(checkpoint=checkpoint)
        if work is not None:
            work.run()
            self.end_flush(work)
            if work.error is not None:
                raise work.error

    # Reading

    def read(self, offset: int, max_bytes: int, *, committed: bool = False, whole_first: bool = True) -> ReadResult:
        """Batches of one segment, from the one that has `offset`.

        At most `max_bytes`, but with `whole_first` at least the first batch, so that readers always progress (KIP-74).
        `committed`: stop at the last stable offset and list the aborted transactions of the span.
        Raises KafkaError OFFSET_OUT_OF_RANGE.
        """
        if not self.start_offset <= offset <= self.end_offset:
            message = f"Offset {offset} is not in {self.start_offset}..{self.end_offset}."
            raise KafkaError(ErrorCode.OFFSET_OUT_OF_RANGE, message)
        limit = self.stable_offset if committed else self.end_offset
        span = read_span(self.segments, offset, limit, max_bytes, whole_first=whole_first) if offset < limit else None
        if span is None:
            return ReadResult(b"", [])
        aborted = self.producers.aborted_between(span.first_offset, span.end_offset) if committed else []
        return ReadResult(span.data, aborted)

    def offset_for_time(self, timestamp_ms: int, *, committed: bool = False) -> TimestampAndOffset | None:
        """The first record with a timestamp at or after `timestamp_ms`, None if there is none."""
        limit = self.stable_offset if committed else self.end_offset
        found = find_timestamp(self.segments, timestamp_ms, self.start_offset)
        return found if found is not None and found.offset < limit else None

    def offset_of_max_timestamp(self) -> TimestampAndOffset | None:
        """The record with the highest timestamp (KIP-734), None if there is none."""
        return find_max_timestamp(self.segments, self.start_offset)

    # Retention

    def delete_before(self, offset: int) -> None:
        """Move the start offset up to `offset` and delete segments that end before it.

        Raises OSError, and KafkaError OFFSET_OUT_OF_RANGE after the end.
        """
        if offset <= self.start_offset:
            return
        if offset > self.end_offset:
            raise KafkaError(ErrorCode.OFFSET_OUT_OF_RANGE, f"The log end offset is {self.end_offset}.")
        removed, first = self._removed_on_request + offset - self.start_offset, self.start_offset
        self.fs.replace_file(self.folder / _START_OFFSET_FILE, b"%d %d" % (offset, removed))
        self._removed_on_request, self.start_offset = removed, offset
        self._delete_oldest(sum(segment.next_offset <= offset for segment in self.segments[:-1]))
        log.info("%s: removed offsets %d to %d, on request", self.folder.name, first, offset - 1)

    def enforce_retention(self) -> int:
        """Delete segments past the time or size limit, never the active one; returns how many. Raises OSError."""
        if not self.config.delete:
            return 0
        now_ms = self.clock.wall_ms()
        if is_expired(self.active, self.config, now_ms):
            self.roll()
        count = count_expired(self.segments, self.config, now_ms)
        if count:
            first, size = self.start_offset, sum(segment.size for segment in self.segments[:count])
            self._delete_oldest(count)
            log.info(
                "%s: retention removed offsets %d to %d (%d bytes; retention.ms=%d, retention.bytes=%d)",
                *(self.folder.name, first, self.start_offset - 1, size),
                *(self.config.retention_ms, self.config.retention_bytes),
            )
        return count

    def _delete_oldest(self, count: int) -> None:
        for _ in range(count):
            oldest = self.segments.pop(0)
            self._durability.discard(oldest)
            oldest.delete()
        self.start_offset = max(self.start_offset, self.segments[0].base_offset)
        self.producers.forget_aborted(self.start_offset)

    # Compaction (see storage.compactor)

    def compactable_segments(self) -> list[Segment]:
        """Full, synced segments without records of open transactions."""
        full = self.segments[:-1]
        return [s for s in full if s.next_offset <= self.stable_offset and s not in self._durability.sealed]

    def replace_segment(self, old: Segment, compacted: Segment) -> None:
        """Use `compacted`, which has the name of `old`, from now on; an empty one is deleted, unless it is the first."""
        self.segments[self.segments.index(old)] = compacted
        old.release_file()
        if not compacted.size and compacted is not self.segments[0]:
            self.segments.remove(compacted)
            compacted.delete()

    def set_clean_offset(self, offset: int) -> None:
        """Everything before `offset` is compacted. Raises OSError."""
        self.clean_offset = offset
        self.fs.replace_file(self.folder / _CLEAN_OFFSET_FILE, str(offset).encode(), durable=False)

    # Ending

    def close(self) -> None:
        """Sync, checkpoint and close: the next start scans nothing. Raises OSError."""
        if self.closed:
            return
        self.closed = True
        try:
            if self.failure is None:
                self.flush(checkpoint=True)
        finally:
            for segment in self.segments:
                segment.release_file()

    def delete(self) -> None:
        """Close and remove all files, with the folder."""
        self.closed = True
        for segment in self.segments:
            segment.release_file()
        self.fs.remove_tree(self.folder)
