"""The file operations that storage needs, in one place, so that a test can make each of them fail.

`FileSystem` is the real one. A file is an integer descriptor; writes go to an explicit position.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

Buffer = bytes | bytearray | memoryview

TEMPORARY_SUFFIX = ".tmp"


class FileSystem:
    """Thin over `os`; every method may raise OSError."""

    def make_directory(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)

    def list_directory(self, path: Path) -> list[str]:
        return sorted(os.listdir(path))

    def open(self, path: Path) -> int:
        """Open for reading and writing, created if absent."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def close(self, fd: int) -> None:
        os.close(fd)

    def size(self, fd: int) -> int:
        return os.fstat(fd).st_size

    def read(self, fd: int, length: int, position: int) -> bytes:
        """Up to `length` bytes at `position`; fewer at the end of the file."""
        return os.pread(fd, length, position)

    def write(self, fd: int, data: Buffer, position: int) -> int:
        """Write at `position`; returns how many bytes were written, which may be fewer than given."""
        return os.pwrite(fd, data, position)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def sync(self, fd: int) -> None:
        """Make the file's data (and its size) durable."""
        os.fdatasync(fd)

    def sync_directory(self, path: Path) -> None:
        """Make names in `path` durable: needed after creating, renaming or deleting."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        os.replace(source, target)

    def remove(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def remove_tree(self, path: Path) -> None:
        shutil.rmtree(path, ignore_errors=True)

    def read_file(self, path: Path) -> bytes | None:
        """The whole file, or None if there is none."""
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None

    def replace_file(self, path: Path, data: bytes, *, durable: bool = True) -> None:
        """Write to a temporary file, sync, rename: a reader sees the old content or the new, never a part."""
        temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
        self.remove(temporary)
        fd = self.open(temporary)
        try:
            write_all(self, fd, data, 0)
            if durable:
                self.sync(fd)
        finally:
            self.close(fd)
        self.rename(temporary, path)
        if durable:
            self.sync_directory(path.parent)


def write_all(fs: FileSystem, fd: int, data: Buffer, position: int) -> None:
    """Write all of `data`, continuing after short writes. Raises OSError; what was written before stays."""
    view = memoryview(data)
    while view:
        written = fs.write(fd, view, position)
        position += written
        view = view[written:]
