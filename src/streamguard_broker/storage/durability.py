"""What of a partition is on disk, and what a sync has to do for the rest.

A sync is three steps, of which the middle one may run on any thread: `Durability.begin` says what to do, `FlushWork.run`
does it, `Durability.end` records the result. Order on disk: batches of the oldest segment first, then names of new
files, then checkpoints. So a segment is never on disk without those before it, and no checkpoint without its batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from streamguard_broker.storage.filesystem import FileSystem
from streamguard_broker.storage.producers import ProducerStates
from streamguard_broker.storage.segment import Segment

CHECKPOINT_INTERVAL_BYTES = 16 * 1024 * 1024


@dataclass
class FlushWork:
    """What one sync covers.

    segments     to sync, oldest first, with the `sizes` that the sync covers
    folders      to sync, because files in them are new
    checkpoints  (path, content) to write after that
    next_offset  the partition is durable up to there afterwards
    error        set by `run` if the disk fails
    """

    fs: FileSystem
    segments: list[Segment]
    sizes: list[int]
    folders: list[Path]
    checkpoints: list[tuple[Path, bytes]]
    next_offset: int
    error: OSError | None = None

    def run(self) -> None:
        """Sync; an OSError is stored in `error`. May be called on any thread."""
        try:
            for segment in self.segments:
                self.fs.sync(segment.fd)
            for folder in self.folders:
                self.fs.sync_directory(folder)
            for path, data in self.checkpoints:
                self.fs.replace_file(path, data, durable=False)
        except OSError as error:
            self.error = error


class Durability:
    """The sync state of one partition.

    flushed_offset  everything before it is on disk
    failure         why the partition is read-only: after a failed sync it is unknown what is on disk; None: writable
    sealed          full segments that are not yet synced, or whose last checkpoint is not yet written, oldest first
    """

    def __init__(self, fs: FileSystem, folder: Path, segments: list[Segment], flushed_offset: int) -> None:
        """For segments as recovered, the last of which is active."""
        self._fs = fs
        self._folder = folder
        self.flushed_offset = flushed_offset
        self.failure: str | None = None
        self.sealed = [s for s in segments[:-1] if s.synced_size < s.size or s.sealed_checkpoint is not None]
        active = segments[-1]
        # A checkpoint of the whole active segment was written after the file's name was synced; else it may not be.
        self._new_files = not 0 < active.size == active.checkpointed_size

    def roll(self, full: Segment, producers: ProducerStates) -> None:
        """`full` is no longer active; its successor is a new file."""
        full.seal(producers.snapshot())
        self.sealed.append(full)
        self._new_files = True

    def discard(self, segment: Segment) -> None:
        """`segment` is deleted: nothing of it remains to be synced."""
        if segment in self.sealed:
            self.sealed.remove(segment)

    def begin(self, active: Segment, producers: ProducerStates, *, checkpoint: bool) -> FlushWork | None:
        """What to sync so that everything written until now is durable; None if it is.

        `checkpoint`: also write that of the active segment, whatever its size.
        """
        unsynced = [s for s in (*self.sealed, active) if s.synced_size < s.size]
        checkpointed = [s for s in self.sealed if s.sealed_checkpoint is not None]
        checkpoints = [
            (s.checkpoint_path, s.sealed_checkpoint) for s in checkpointed if s.sealed_checkpoint is not None
        ]
        grown = active.size - active.checkpointed_size
        if grown and (checkpoint or grown >= CHECKPOINT_INTERVAL_BYTES):
            checkpoints.append((active.checkpoint_path, active.checkpoint(producers.snapshot())))
            checkpointed.append(active)
        if not unsynced and not checkpoints and not self._new_files:
            self.flushed_offset = active.next_offset
            return None
        folders = [self._folder, self._folder.parent] if self._new_files else []
        self._new_files = False
        for segment in checkpointed:
            segment.checkpointed_size = segment.size
            segment.sealed_checkpoint = None
        for segment in unsynced:
            segment.acquire()
        return FlushWork(self._fs, unsynced, [s.size for s in unsynced], folders, checkpoints, active.next_offset)

    def end(self, work: FlushWork) -> None:
        """Record the result of a sync. After a failed one the page cache may have lost writes: no more are accepted."""
        for segment, size in zip(work.segments, work.sizes, strict=True):
            if work.error is None:
                segment.synced_size = max(segment.synced_size, size)
            segment.release()
        if work.error is not None:
            self.failure = (
                f"The partition could not be synced ({work.error.strerror}); it is read-only until a restart."
            )
            return
        self.flushed_offset = max(self.flushed_offset, work.next_offset)
        for segment in [s for s in self.sealed if s.synced_size == s.size and s.sealed_checkpoint is None]:
            segment.release_file()
            self.sealed.remove(segment)
