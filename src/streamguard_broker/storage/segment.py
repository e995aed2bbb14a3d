"""One segment: a file of record batches in offset order, a sparse index in memory, a checkpoint file beside it.

    00000000000000012000.log     the batches, as received
    00000000000000012000.index   the checkpoint: the index, and the producers' state, up to a position known durable

The index holds an entry for every `INDEX_INTERVAL_BYTES` of log: the offset of a batch, its position, and the highest
timestamp before it, so that one bisection serves lookups by offset and by time. The checkpoint is written after the
log file was synced; recovery trusts what it covers and scans only what follows.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from crc32c import crc32c

from streamguard_broker.storage.filesystem import Buffer, FileSystem, write_all
from streamguard_broker.storage.records import HEADER_SIZE, PREFIX_SIZE, BatchHeader, read_header

INDEX_INTERVAL_BYTES = 8192
_SCAN_CHUNK = 64 * 1024
_RECOVERY_CHUNK = 1024 * 1024
_CHECKPOINT = struct.Struct(">4sqqqqi")  # magic, position, next offset, max timestamp, its offset, index entries
_CHECKPOINT_MAGIC = b"SGX1"


class Segment:
    """Batches of offsets `base_offset` .. `next_offset` - 1. Sizes and positions in bytes, times in ms."""

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
        self._offsets = array("q")
        self._positions = array("q")
        self._timestamps = array("q")
        self._next_index_position = 0
        self._users = 0
        self._closing = False
        self._file_released = False

    # Writing

    def append(self, batch: Buffer, header: BatchHeader) -> None:
        """Write a batch whose header says where it goes. Raises OSError, with the file as it was before."""
        try:
            write_all(self.fs, self.fd, batch, self.size)
        except OSError:
            self.fs.truncate(self.fd, self.size)
            raise
        self.note(header)

    def note(self, header: BatchHeader) -> None:
        """Take a batch, already at the end of the file, into size and index."""
        if self.size >= self._next_index_position:
            self._offsets.append(header.base_offset)
            self._positions.append(self.size)
            self._timestamps.append(self.max_timestamp)
            self._next_index_position = self.size + INDEX_INTERVAL_BYTES
        self.size += header.size
        self.next_offset = header.next_offset
        if header.max_timestamp > self.max_timestamp:
            self.max_timestamp = header.max_timestamp
            self.max_timestamp_offset = header.base_offset

    # Reading

    def read(self, position: int, length: int) -> bytes:
        """Up to `length` bytes from `position`, never past the last whole batch."""
        with self._file() as fd:
            return self.fs.read(fd, min(length, self.size - position), position)

    def find(self, offset: int) -> tuple[int, BatchHeader] | None:
        """Position and header of the first batch that ends at or after `offset`; None if there is none."""
        slot = bisect_right(self._offsets, offset) - 1
        start = self._positions[slot] if slot >= 0 else 0
        for position, header in self.scan(start):
            if header.last_offset >= offset:
                return position, header
        return None

    def scan_from_time(self, timestamp_ms: int) -> Iterator[tuple[int, BatchHeader]]:
        """Batches from the last index entry before which every timestamp is earlier than `timestamp_ms`."""
        slot = bisect_left(self._timestamps, timestamp_ms) - 1
        return self.scan(self._positions[slot] if slot >= 0 else 0)

    def scan(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, BatchHeader]]:
        """Headers from `start`, a batch boundary, on."""
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

    def scan_batches(self, start: int, end: int) -> Iterator[tuple[int, memoryview]]:
        """Whole batches, as far as their lengths make sense; ends before the first that does not fit the file."""
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
            yield position, chunk[at : at + size]
            position += size

    # Ending

    def truncate(self, size: int) -> None:
        """Drop what follows `size`; the caller has noted exactly that much. Raises OSError."""
        self.fs.truncate(self.fd, size)

    @contextmanager
    def _file(self) -> Iterator[int]:
        """The open file, or, of a segment at rest, one opened for the occasion."""
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
        self._users -= 1
        if (self._closing or self._file_released) and not self._users:
            self._close_now()

    def release_file(self) -> None:
        """Keep no file open from now on: nothing more is written here, and old segments are many."""
        self._file_released = True
        if not self._users:
            self._close_now()

    def close(self) -> None:
        """Close as soon as nobody syncs it."""
        self._closing = True
        if not self._users:
            self._close_now()

    def _close_now(self) -> None:
        if self.fd >= 0:
            self.fs.close(self.fd)
            self.fd = -1

    def delete(self) -> None:
        """Close and remove the files."""
        self.close()
        self.fs.remove(self.checkpoint_path)
        self.fs.remove(self.path)

    # Checkpoints

    def seal(self, state: dict[str, Any]) -> None:
        """The segment is full: keep its last checkpoint until the next sync has written it."""
        self.sealed_checkpoint = self.checkpoint(state)

    def checkpoint(self, state: dict[str, Any]) -> bytes:
        """The content of the checkpoint file for the segment as it stands; valid once the log file is synced."""
        body = b"".join(
            (
                _CHECKPOINT.pack(
                    _CHECKPOINT_MAGIC,
                    self.size,
                    self.next_offset,
                    self.max_timestamp,
                    self.max_timestamp_offset,
                    len(self._offsets),
                ),
                self._offsets.tobytes(),
                self._positions.tobytes(),
                self._timestamps.tobytes(),
                orjson.dumps(state),
            )
        )
        return body + struct.pack(">I", crc32c(body))

    def _checkpoint_data(self) -> bytes | None:
        """The whole of an undamaged checkpoint file."""
        data = self.fs.read_file(self.checkpoint_path)
        if data is None or len(data) < _CHECKPOINT.size + 4 or data[:4] != _CHECKPOINT_MAGIC:
            return None
        return data if struct.unpack(">I", data[-4:])[0] == crc32c(data[:-4]) else None

    def stored_state(self) -> dict[str, Any] | None:
        """The producers' state in the checkpoint, whatever became of the log file since."""
        data = self._checkpoint_data()
        if data is None:
            return None
        state: dict[str, Any] = orjson.loads(data[_CHECKPOINT.size + 24 * _CHECKPOINT.unpack_from(data)[5] : -4])
        return state

    def load_checkpoint(self) -> dict[str, Any] | None:
        """Take size and index from the checkpoint; returns the state in it, None if absent, torn or for more bytes."""
        data = self._checkpoint_data()
        if data is None:
            return None
        _, size, next_offset, max_timestamp, max_timestamp_offset, count = _CHECKPOINT.unpack_from(data)
        if size > self.fs.size(self.fd):
            return None
        at = _CHECKPOINT.size
        for index in (self._offsets, self._positions, self._timestamps):
            index.frombytes(data[at : at + 8 * count])
            at += 8 * count
        self.size = self.synced_size = self.checkpointed_size = size
        self.next_offset, self.max_timestamp, self.max_timestamp_offset = (
            next_offset,
            max_timestamp,
            max_timestamp_offset,
        )
        if count:
            self._next_index_position = self._positions[-1] + INDEX_INTERVAL_BYTES
        state: dict[str, Any] = orjson.loads(data[at:-4])
        return state
