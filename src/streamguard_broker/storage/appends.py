"""Batches on their way into a partition: offsets are assigned, the file does not have them yet.

A write is three steps, of which the middle one may run on any thread: `AppendQueue.begin` takes all that is queued,
`WriteWork.run` writes it, and `PartitionLog.end_write` makes it readable, or drops it together with what was queued
meanwhile, because a partition has no gaps. Readers, and the producers' state of the partition, see written batches only.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

from streamguard_broker.storage.batch import NO_PRODUCER_ID, BatchHeader
from streamguard_broker.storage.filesystem import Buffer, FileSystem
from streamguard_broker.storage.producers import ProducerStates
from streamguard_broker.storage.records import is_commit_marker
from streamguard_broker.storage.segment import Segment


@dataclass
class Piece:
    """Consecutive batches of one segment.

    new_segment  (base offset, time of creation in ms) of the segment that they begin; None: they continue the last one
    headers      with the offsets assigned; `commits` has for each whether it is the marker of a commit
    """

    new_segment: tuple[int, int] | None
    batches: list[Buffer] = field(default_factory=list)
    headers: list[BatchHeader] = field(default_factory=list)
    commits: list[bool] = field(default_factory=list)


@dataclass
class WriteWork:
    """What one write covers.

    active  the last segment when the work began; in use until `PartitionLog.end_write`
    opened  new segments, one for each piece that begins one
    error   set by `run` if the disk fails; the files are as before then
    """

    fs: FileSystem
    folder: Path
    active: Segment
    pieces: list[Piece]
    opened: list[Segment] = field(default_factory=list)
    error: OSError | None = None

    def run(self) -> None:
        """Write; an OSError is stored in `error`. May be called on any thread."""
        segment, position = self.active, self.active.size
        try:
            for piece in self.pieces:
                if piece.new_segment is not None:
                    segment, position = Segment(self.fs, self.folder, *piece.new_segment), 0
                    self.opened.append(segment)
                if piece.batches:
                    position = segment.write(piece.batches, position)
        except OSError as error:
            self.error = error
            self._undo()

    def _undo(self) -> None:
        for segment in self.opened:
            with contextlib.suppress(OSError):
                segment.delete()
        with contextlib.suppress(OSError):
            self.active.truncate(self.active.size)


class AppendQueue:
    """What is queued for one partition.

    next_offset   the offset of the next batch to be queued
    segment_size  bytes of the segment that it goes to, once all is written
    created_ms    when that segment began
    producers     the state of producers that have queued batches, as it will be
    """

    def __init__(self, active: Segment) -> None:
        """Nothing is queued after `active`."""
        self.next_offset = active.next_offset
        self.segment_size = active.size
        self.created_ms = active.created_ms
        self.producers = ProducerStates()
        self._pieces: list[Piece] = []
        self._in_progress = False

    def __bool__(self) -> bool:
        """Whether a batch or a new segment is queued or being written."""
        return self._in_progress or bool(self._pieces)

    def check(self, header: BatchHeader, written: ProducerStates) -> int | None:
        """See `ProducerStates.check`, with what is queued taken into account."""
        self.producers.copy_entry(header.producer_id, written)
        return self.producers.check(header)

    def add(self, batch: Buffer, header: BatchHeader, written: ProducerStates) -> None:
        """Queue a batch with its offsets assigned."""
        if not self._pieces:
            self._pieces.append(Piece(None))
        commit = header.is_control and is_commit_marker(batch)
        piece = self._pieces[-1]
        piece.batches.append(batch)
        piece.headers.append(header)
        piece.commits.append(commit)
        if header.producer_id != NO_PRODUCER_ID:
            self.producers.copy_entry(header.producer_id, written)
            self.producers.record(header, commit=commit)
        self.next_offset = header.next_offset
        self.segment_size += header.size

    def roll(self, now_ms: int) -> None:
        """Begin a new segment with the next batch."""
        self._pieces.append(Piece((self.next_offset, now_ms)))
        self.segment_size, self.created_ms = 0, now_ms

    def has_open_transaction(self, producer_id: int, written: ProducerStates) -> bool:
        """Whether the producer has a transaction open, once all is written."""
        known = self.producers if producer_id in self.producers.entries else written
        return producer_id in known.open_transactions

    def begin(self, fs: FileSystem, folder: Path, active: Segment) -> WriteWork | None:
        """All that is queued; None if there is nothing, or a write in progress."""
        if self._in_progress or not self._pieces:
            return None
        self._in_progress = True
        pieces, self._pieces = self._pieces, []
        active.acquire()
        return WriteWork(fs, folder, active, pieces)

    def end(self, work: WriteWork) -> None:
        """The write is over."""
        self._in_progress = False
        work.active.release()
        if not self._pieces:
            self.producers = ProducerStates()
