"""A file system in memory that can crash: what was not synced may be lost, in whole or in part, as a disk may lose it.

Also on request: short writes, a full disk, a failing sync.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from pathlib import Path

from streamguard_broker.storage.filesystem import Buffer, FileSystem


@dataclass
class MemoryFile:
    """Content as readers see it, and as the disk has it."""

    data: bytearray = field(default_factory=bytearray)
    durable: bytes = b""


class MemoryFileSystem(FileSystem):
    """`free_bytes`: how many more bytes fit (None: no limit). `most_per_write`: longest write taken (None: all)."""

    def __init__(self) -> None:
        self.files: dict[Path, MemoryFile] = {}
        self.durable_names: dict[Path, MemoryFile] = {}
        self.folders: set[Path] = set()
        self.open_files: dict[int, MemoryFile] = {}
        self.free_bytes: int | None = None
        self.most_per_write: int | None = None
        self.sync_fails = False
        self._next_fd = 100

    # Faults

    def crash(self, keep_fraction: float) -> None:
        """Lose power: of each file's unsynced tail, `keep_fraction` reached the disk; unsynced names are gone."""
        self.open_files.clear()
        self.files = dict(self.durable_names)
        for file in self.files.values():
            tail = bytes(file.data[len(file.durable) :])
            same = bytes(file.data[: len(file.durable)]) == file.durable
            kept = tail[: int(len(tail) * keep_fraction)] if same else b""
            file.data = bytearray(file.durable + kept)
            file.durable = bytes(file.data)

    # FileSystem

    def make_directory(self, path: Path) -> None:
        self.folders.add(path)

    def list_directory(self, path: Path) -> list[str]:
        names = {f.relative_to(path).parts[0] for f in self.files if path in f.parents}
        return sorted(names)

    def open(self, path: Path) -> int:
        self._next_fd += 1
        self.open_files[self._next_fd] = self.files.setdefault(path, MemoryFile())
        return self._next_fd

    def close(self, fd: int) -> None:
        del self.open_files[fd]

    def size(self, fd: int) -> int:
        return len(self.open_files[fd].data)

    def read(self, fd: int, length: int, position: int) -> bytes:
        return bytes(self.open_files[fd].data[position : position + length])

    def write(self, fd: int, data: Buffer, position: int) -> int:
        chunk = bytes(data)[: self.most_per_write]
        if self.free_bytes is not None:
            chunk = chunk[: self.free_bytes]
            if not chunk:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.free_bytes -= len(chunk)
        file = self.open_files[fd]
        file.data[position : position + len(chunk)] = chunk
        return len(chunk)

    def truncate(self, fd: int, size: int) -> None:
        file = self.open_files[fd]
        del file.data[size:]
        file.durable = file.durable[:size]

    def sync(self, fd: int) -> None:
        if self.sync_fails:
            raise OSError(errno.EIO, "Input/output error")
        file = self.open_files[fd]
        file.durable = bytes(file.data)

    def sync_directory(self, path: Path) -> None:
        for name in [n for n in self.durable_names if n.parent == path and n not in self.files]:
            del self.durable_names[name]
        for name, file in self.files.items():
            if name.parent == path:
                self.durable_names[name] = file

    def rename(self, source: Path, target: Path) -> None:
        self.files[target] = self.files.pop(source)

    def remove(self, path: Path) -> None:
        self.files.pop(path, None)

    def remove_tree(self, path: Path) -> None:
        for name in [n for n in self.files if path in n.parents]:
            del self.files[name]

    def read_file(self, path: Path) -> bytes | None:
        file = self.files.get(path)
        return None if file is None else bytes(file.data)
