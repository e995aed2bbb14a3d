"""From a path to plain bytes: files, pipes, and what packs them (gzip, zstandard, bzip2, xz, zip), recognised by content."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import stat
import struct
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from streamguard.ingest.files.errors import DAMAGE, InputError, damaged
from streamguard.ingest.files.refusals import refuse_office

HEAD_BYTES = 1 << 20
"""What is looked at to recognise a file."""

_MOST_LAYERS = 3


@dataclass
class Stream:
    """Bytes and where they come from. `head` is how they begin; `file` still has them all."""

    name: str
    """For a person: the file's name, or that of the member of an archive in it."""
    file: IO[bytes]
    head: bytes
    layers: tuple[str, ...]
    """What packs them, outermost first."""
    total_bytes: int | None
    bytes_read: Callable[[], int]
    opened: ExitStack
    """Closes what was opened for it."""

    def seekable(self) -> IO[bytes]:
        """The bytes as a file that can be read from any place: a copy where the source is a pipe or packed."""
        if self.file.seekable():
            return self.file
        copy = self.opened.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - it is entered
        shutil.copyfileobj(self.file, copy)
        copy.seek(0)
        return copy


def open_stream(path: str, member: str | None, opened: ExitStack) -> Stream:
    """The unpacked bytes of a file, or of standard input for "-". `member` names a file in a zip,
    `opened` gets what has to be closed.

    Raises InputError for what is no file and for archives that leave open which file is meant.
    """
    stream = _opened(path, opened)
    for _ in range(_MOST_LAYERS):
        unpack = next((unpack for magic, unpack in _PACKED.items() if stream.head.startswith(magic)), None)
        if unpack is None:
            break
        try:
            stream = unpack(stream, member)
        except DAMAGE as error:
            raise InputError(damaged(stream.name, error)) from None
    if member is not None and "zip" not in stream.layers:
        raise InputError(f"{stream.name} is no zip archive: --member is only for those")
    return stream


def _opened(path: str, opened: ExitStack) -> Stream:
    if path == "-":
        return _with_head(Stream("standard input", sys.stdin.buffer, b"", (), None, lambda: 0, opened))
    name = Path(path).name
    try:
        file = opened.enter_context(open(path, "rb"))  # noqa: SIM115 - it is entered
    except IsADirectoryError:
        raise InputError(f"{path} is a folder: name one of the files in it") from None
    except OSError as error:
        raise InputError(f"{path} cannot be opened: {error.strerror}") from None
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        return _with_head(Stream(name, file, b"", (), None, lambda: 0, opened))
    head = file.read(HEAD_BYTES)
    file.seek(0)
    size = status.st_size
    return Stream(name, file, head, (), size, lambda: size if file.closed else file.raw.tell(), opened)


def _with_head(stream: Stream) -> Stream:
    """A stream that cannot be read twice with its head read, and put in front again. Damage raises OSError and kin."""
    parts, missing = [], HEAD_BYTES
    while missing and (part := stream.file.read(missing)):
        parts.append(part)
        missing -= len(part)
    head = b"".join(parts)
    return replace(stream, file=io.BufferedReader(_Rejoined(head, stream.file), 1 << 16), head=head)


class _Rejoined(io.RawIOBase):
    """A head that was read already, then the rest of its file."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head = memoryview(head)
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._head[: len(buffer)] or self._rest.read(len(buffer))
        self._head = self._head[len(part) :]
        buffer[: len(part)] = part
        return len(part)


def _unpacked(name: str, opener: Callable[[IO[bytes]], Any]) -> Callable[[Stream, str | None], Stream]:
    def unpack(stream: Stream, _: str | None) -> Stream:
        return _with_head(replace(stream, file=opener(stream.file), layers=(*stream.layers, name)))

    return unpack


def _unzipped(stream: Stream, member: str | None) -> Stream:
    try:
        archive = zipfile.ZipFile(stream.seekable())
        name = _member(stream.name, archive, member)
        file = archive.open(name)
    except (NotImplementedError, RuntimeError):
        raise InputError(f"{stream.name} is packed in a way that is not unpacked here: unpack it first") from None
    except (ValueError, OverflowError, struct.error) as error:
        raise OSError(str(error)) from None
    return _with_head(replace(stream, name=f"{stream.name}/{name}", file=file, layers=(*stream.layers, "zip")))


def _member(name: str, archive: zipfile.ZipFile, wanted: str | None) -> str:
    """The file in the archive that is meant; raises InputError."""
    refuse_office(name, archive.namelist())
    names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
    if wanted is None and len(names) == 1:
        wanted = names[0]
    if wanted not in names:
        listed = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        found = "has no file in it" if not names else f"holds {listed}: --member NAME says which one is meant"
        raise InputError(f"{name} {found}")
    if archive.getinfo(wanted).flag_bits & 1:
        raise InputError(f"{name} is protected by a password: unpack it first, then import {wanted}")
    return wanted


def _zstandard(file: IO[bytes]) -> Any:
    # Imported where it is needed: it is large. The zstandard package ends a truncated file in silence.
    import pyarrow

    return pyarrow.CompressedInputStream(file, "zstd")


_PACKED: dict[bytes, Callable[[Stream, str | None], Stream]] = {
    b"\x1f\x8b": _unpacked("gzip", lambda file: gzip.GzipFile(fileobj=file)),
    b"\x28\xb5\x2f\xfd": _unpacked("zstandard", _zstandard),
    b"BZh": _unpacked("bzip2", bz2.BZ2File),
    b"\xfd7zXZ\x00": _unpacked("xz", lzma.LZMAFile),
    b"PK\x03\x04": _unzipped,
    b"PK\x05\x06": _unzipped,
}
