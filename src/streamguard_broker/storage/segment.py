"""One segment: a file of record batches in offset order, a sparse index in memory, a checkpoint file beside it.

    00000000000000012000.log     the batches, as received; the name is the base offset
    00000000000000012000.index   the checkpoint (`storage.checkpoint`): index and producers' state up to a synced position

Invariants:

- The file has complete batches up to `size`. Bytes after `size` exist only between a failed write and its truncation,
  or before recovery.
- Offsets of batches increase; all are in `base_offset` .. `next_offset` - 1. After compaction there may be gaps.
- 0 <= checkpointed_size, synced_size <= size. A checkpoint is written after the bytes that it covers are synced.
- A file that another thread reads or syncs (`acquire`) stays open until `release`, whatever happens meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streamguard_broker.storage.batch import HEADER_SIZE, PREFIX_SIZE, BatchHeader, read_header
from streamguard_broker.storage.checkpoint import Checkpoint
from streamguard_broker.storage.filesystem import Buffer, FileSystem, write_all
from streamguard_broker.storage.index import SparseIndex

_SCAN_CHUNK = 64 * 1024
_JOINED_BYTES = 256 * 1024
_RECOVERY_CHUNK = 1024 * 1024


class Segment:
    """Batches of offsets `base_offset` .. `next_offset` - 1. Sizes and positions in bytes, times in ms.

    size                  bytes of complete batches
    next_offset           the offset after the last batch
    max_timestamp         the highest timestamp of all batches, -1: none
    max_timestamp_offset  base offset of the batch that has it
    synced_size           bytes known to be on disk
    checkpointed_size     bytes that the checkpoint file covers, once the sync in progress is complete
    sealed_checkpoint     the last checkpoint of a full segment, until a sync writes it
    fd                    -1 while no file is open
    """

    def __init__(self, fs: FileSystem, folder: Path, base_offset: int, created_ms: int) -> None:
        self.fs = fs
        self.base_offset = base_offset
        self.created_ms = created_ms
        self.path = folder / f"{base_offset:020d}.log"
        self.checkpoint_path = folder / f"{base_offset:020d}.index"
        self.fd = fs.open(self.path)
        self.size = 0
        self.next_offset = base_offset
        self.max_timestamp = -1
        self.max_timestamp_offset = -1
        self.synced_size = 0
        self.checkpointed_size = 0
        self.sealed_checkpoint: bytes | None = None
        self._index = SparseIndex()
        self._users = 0
        self._keeps_open = True

    # Writing

    def write(self, batches: Sequence[Buffer], position: int) -> int:
        """Write batches one after the other from `position`; returns where they end. Raises OSError."""
        if sum(map(len, batches)) <= _JOINED_BYTES:
            batches = [b"".join(batches)]
        for batch in batches:
            write_all(self.fs, self.fd, batch, position)
            position += len(batch)
        return position

    def note(self, header: BatchHeader) -> None:
        """Add a batch that is at position `size` of the file to size, offsets and index."""
        if self.size >= self._index.next_position:
            self._index.add(header.base_offset, self.size, self.max_timestamp)
        self.size += header.size
        self.next_offset = header.next_offset
        if header.max_timestamp > self.max_timestamp:
            self.max_timestamp = header.max_timestamp
            self.max_timestamp_offset = header.base_offset

    # Reading

    def read(self, position: int, length: int) -> bytes:
        """Up to `length` bytes from `position`, never past the last complete batch."""
        with self._file() as fd:
            return self.fs.read(fd, min(length, self.size - position), position)

    def find(self, offset: int) -> tuple[int, BatchHeader] | None:
        """Position and header of the first batch that ends at or after `offset`; None if there is none."""
        for position, header in self.scan(self._index.position_for_offset(offset)):
            if header.last_offset >= offset:
                return position, header
        return None

    def scan_from_time(self, timestamp_ms: int) -> Iterator[tuple[int, BatchHeader]]:
        """Position and header of batches, with all that have timestamps at or after `timestamp_ms`."""
        return self.scan(self._index.position_for_time(timestamp_ms))

    def scan(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, BatchHeader]]:
        """Position and header of each batch from `start`, a batch boundary, to `end` (default: `size`)."""
        end = self.size if end is None else end
        position, chunk_start, chunk = start, start, b""
        with self._file() as fd:
            while position + HEADER_SIZE <= end:
                if position + HEADER_SIZE > chunk_start + len(chunk):
                    chunk_start = position
                    chunk = self.fs.read(fd, min(_SCAN_CHUNK, end - position), position)
                    if len(chunk) < HEADER_SIZE:
                        return
                header = read_header(chunk, position - chunk_start)
                yield position, header
                position += header.size

    def scan_batches(self, start: int, end: int) -> Iterator[memoryview]:
        """Complete batches, up to the first whose length is impossible or past `end`."""
        position, chunk_start, chunk = start, start, memoryview(b"")
        while position + HEADER_SIZE <= end:
            at = position - chunk_start
            size = int.from_bytes(chunk[at + 8 : at + PREFIX_SIZE], "big", signed=True) + PREFIX_SIZE
            if len(chunk) - at < PREFIX_SIZE or len(chunk) - at < size:
                wanted = max(_RECOVERY_CHUNK, size if size > 0 else 0)
                fresh = memoryview(self.fs.read(self.fd, min(wanted, end - position), position))
                if len(fresh) < HEADER_SIZE or (chunk_start == position and len(fresh) <= len(chunk)):
                    return
                chunk, chunk_start = fresh, position
                continue
            if size < HEADER_SIZE:
                return
            yield chunk[at : at + size]
            position += size

    # Checkpoints

    def checkpoint(self, producers: dict[str, Any]) -> bytes:
        """The checkpoint file for the segment as it is now; valid once the batches are synced."""
        return Checkpoint(
            self.size, self.next_offset, self.max_timestamp, self.max_timestamp_offset, self._index, producers
        ).encode()

    def seal(self, producers: dict[str, Any]) -> None:
        """The segment is full: keep its last checkpoint until the next sync writes it."""
        self.sealed_checkpoint = self.checkpoint(producers)

    def stored_state(self) -> dict[str, Any] | None:
        """The producers' state in the checkpoint file, whatever has happened to the batches since."""
        stored = Checkpoint.decode(self.fs.read_file(self.checkpoint_path))
        return None if stored is None else stored.producers

    def load_checkpoint(self) -> dict[str, Any] | None:
        """Restore size and index from the checkpoint file; returns the producers' state in it.

        None if the file is absent, torn, or covers more bytes than there are.
        """
        stored = Checkpoint.decode(self.fs.read_file(self.checkpoint_path))
        if stored is None or stored.size > self.fs.size(self.fd):
            return None
        self.size = self.synced_size = self.checkpointed_size = stored.size
        self.next_offset = stored.next_offset
        self.max_timestamp, self.max_timestamp_offset = stored.max_timestamp, stored.max_timestamp_offset
        self._index = stored.sparse_index
        return stored.producers

    # Files

    @contextmanager
    def _file(self) -> Iterator[int]:
        """The open file; one opened for this read if none is open."""
        if self.fd >= 0:
            yield self.fd
            return
        fd = self.fs.open(self.path)
        try:
            yield fd
        finally:
            self.fs.close(fd)

    def acquire(self) -> None:
        """Keep the file open while another thread works on it."""
        if self.fd < 0:
            self.fd = self.fs.open(self.path)
        self._users += 1

    def release(self) -> None:
        """The inverse of `acquire`."""
        self._users -= 1
        self._close_if_unused()

    def release_file(self) -> None:
        """Keep no file open from now on but while it is used: nothing more is written to a sealed segment."""
        self._keeps_open = False
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if not self._keeps_open and not self._users and self.fd >= 0:
            self.fs.close(self.fd)
            self.fd = -1

    def truncate(self, size: int) -> None:
        """Remove the bytes after `size`, which must be the sum of the batches noted. Raises OSError."""
        self.fs.truncate(self.fd, size)

    def delete(self) -> None:
        """Close and remove the files."""
        self.release_file()
        self.fs.remove(self.checkpoint_path)
        self.fs.remove(self.path)
