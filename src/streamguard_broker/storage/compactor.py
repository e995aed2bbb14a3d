"""When partitions are compacted, and how the result replaces the old segments.

A pass is a few steps, of which those on files may run on any thread: `Compactor.begin` chooses the segments,
`CompactionWork.run` writes smaller ones beside them, the steps of `Compactor.steps` put those in place one by one.

The replacement of one segment, safe at any crash: its old checkpoint is made durable, because the producers' state in it
may be all that is left of removed batches; the new file is renamed over the old one, whose checkpoint is invalid then
(it covers more bytes than there are) but still gives the producers' state; a new checkpoint is written.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from weakref import WeakSet

from streamguard_broker.storage.compaction import Aborted, Plan, UnreadableBatch, make_plan, rewrite
from streamguard_broker.storage.log import PartitionLog
from streamguard_broker.storage.segment import Segment
from streamguard_broker.storage.writer import LogWriter

log = logging.getLogger(__name__)


@dataclass
class CompactionWork:
    """One pass over full segments of a partition, from offset `start`.

    plan       what the pass covers; None if a batch cannot be decoded
    rewritten  segments that shrink, each with the file that replaces it
    error      set by `run` if the disk fails
    """

    partition: PartitionLog
    segments: list[Segment]
    start: int
    aborted: Aborted
    tombstones_before_ms: int
    plan: Plan | None = None
    rewritten: list[tuple[Segment, Path]] = field(default_factory=list)
    error: OSError | None = None

    def run(self) -> None:
        """Write the smaller segments beside the old ones; an OSError is stored in `error`."""
        fs = self.partition.fs
        try:
            self.plan = make_plan(self.segments, self.start, self.segments[-1].next_offset, self.aborted)
            for segment in self.segments:
                checkpoint = fs.read_file(segment.checkpoint_path)
                if checkpoint is None:
                    continue
                path = rewrite(fs, segment, self.plan, self.aborted, self.tombstones_before_ms)
                if path is not None:
                    fs.replace_file(segment.checkpoint_path, checkpoint)
                    self.rewritten.append((segment, path))
        except OSError as error:
            self.error = error
        except UnreadableBatch:
            self.plan = None


class Compactor:
    """Compacts the partitions of a broker, one at a time."""

    def __init__(self) -> None:
        self._excluded: WeakSet[PartitionLog] = WeakSet()
        """Partitions in a pass, and those whose pass did not succeed: they would fail again until a restart."""

    async def run(self, partitions: Iterable[PartitionLog], writer: LogWriter) -> None:
        """One pass over every partition that has enough to gain; files are put in place in turn with the writes."""
        for partition in partitions:
            work = self.begin(partition)
            if work is None:
                continue
            await asyncio.get_running_loop().run_in_executor(None, work.run)
            try:
                with contextlib.closing(self.steps(work)) as steps:
                    for step in steps:
                        await writer.run(step)
            except OSError as error:
                log.error("%s: compaction failed: %s", partition.folder.name, error)

    def begin(self, partition: PartitionLog) -> CompactionWork | None:
        """What to compact now, None if too little is not yet compacted."""
        config = partition.config
        if not config.compact or partition.closed or partition.failure is not None or partition in self._excluded:
            return None
        now_ms = partition.clock.wall_ms()
        segments = partition.compactable_segments()
        if config.min_compaction_lag_ms:
            segments = [s for s in segments if s.max_timestamp <= now_ms - config.min_compaction_lag_ms]
        dirty_bytes = sum(s.size for s in segments if s.next_offset > partition.clean_offset)
        if not dirty_bytes or dirty_bytes < config.min_dirty_ratio * sum(s.size for s in segments):
            return None
        self._excluded.add(partition)
        for segment in segments:
            segment.acquire()
        start = max(partition.clean_offset, partition.start_offset)
        aborted = Aborted(partition.producers.aborted)
        return CompactionWork(partition, segments, start, aborted, now_ms - config.delete_retention_ms)

    def end(self, work: CompactionWork) -> None:
        """Put the rewritten segments in place, on this thread. Raises OSError; those already in place stay so."""
        with contextlib.closing(self.steps(work)) as steps:
            for step in steps:
                step()

    def steps(self, work: CompactionWork) -> Generator[Callable[[], None], None, None]:
        """Steps on files that put the rewritten segments in place, to be taken in turn, on any thread.

        Raises OSError if the work failed. Segments that were removed meanwhile stay removed.
        """
        partition = work.partition
        if work.plan is None and work.error is None:
            name = partition.folder.name
            log.warning("%s: a batch cannot be decompressed; not compacted until a restart", name)
        else:
            self._excluded.discard(partition)
        try:
            if work.error is not None:
                raise work.error
            for old, path in work.rewritten:
                if partition.closed or old not in partition.segments:
                    yield partial(partition.fs.remove, path)
                    continue
                replacement = _Replacement(partition, old, path)
                yield replacement.run
                if old in partition.segments and not partition.closed:
                    unneeded = partition.replace_segment(old, replacement.compacted)
                    if unneeded is not None:
                        yield unneeded.remove_files
            if work.plan is not None and not partition.closed:
                yield partial(partition.store_clean_offset, work.plan.end)
        finally:
            for segment in work.segments:
                segment.release()


class _Replacement:
    """Puts one rewritten segment in the place of `old`. `compacted` is there after `run`."""

    def __init__(self, partition: PartitionLog, old: Segment, path: Path) -> None:
        self._partition, self._old, self._path = partition, old, path
        self.compacted: Segment

    def run(self) -> None:
        """Raises OSError."""
        fs, folder, old = self._partition.fs, self._partition.folder, self._old
        producers = old.stored_state()
        fs.rename(self._path, old.path)
        fs.sync_directory(folder)
        compacted = Segment(fs, folder, old.base_offset, old.created_ms)
        for _, header in compacted.scan(0, fs.size(compacted.fd)):
            compacted.note(header)
        compacted.next_offset = old.next_offset
        compacted.synced_size = compacted.size
        if producers is not None:
            fs.replace_file(compacted.checkpoint_path, compacted.checkpoint(producers))
            compacted.checkpointed_size = compacted.size
        compacted.release_file()
        self.compacted = compacted
        sizes = (old.size, compacted.size)
        log.info("%s: compacted segment %d from %d to %d bytes", folder.name, old.base_offset, *sizes)
