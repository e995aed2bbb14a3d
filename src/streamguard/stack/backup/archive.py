"""The file of a backup: a tar, compressed with zstandard, readable by its owner alone.

    manifest.json       first: what made it, and what is in it (`Manifest`)
    broker/...          the broker's folder, if it is in it
    database/000001     the output of pg_dump, in pieces: its length is not known before
    checksums.json      last: size and SHA-256 of every other member

A file without its last member was cut off. It appears under its name only when it is complete.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow

from streamguard.stack.errors import StackError

FORMAT = 1
"""Counts up with every change that an earlier program could not read."""

MANIFEST, CHECKSUMS = "manifest.json", "checksums.json"
CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Manifest:
    """What made the file and what is in it; sizes in bytes, before compression."""

    format: int
    program: str
    schema: int
    """The last migration of the database."""
    made_at: str
    database_bytes: int
    broker_bytes: int | None
    """None where Kafka was elsewhere, and the topics are not in the file."""


class Writer:
    """Members one after the other; `close` adds their checksums. OSErrors pass."""

    def __init__(self, file: IO[bytes]) -> None:
        self._compressed = pyarrow.CompressedOutputStream(pyarrow.PythonFile(file, mode="w"), "zstd")
        self._tar = tarfile.open(fileobj=self._compressed, mode="w|", bufsize=CHUNK_BYTES)  # noqa: SIM115
        self._checksums: dict[str, list[Any]] = {}
        self.written = 0
        """Bytes of members so far, before compression."""

    def add(self, name: str, size: int, content: IO[bytes]) -> None:
        """Add a member of exactly `size` bytes. Raises StackError where `content` has fewer."""
        hashed = _Hashed(content, size)
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o600
        try:
            self._tar.addfile(member, hashed)
        except EOFError:
            raise StackError(f"{name} became shorter while it was read: repeat the backup") from None
        self.written += size
        self._checksums[name] = [size, hashed.digest.hexdigest()]

    def add_bytes(self, name: str, content: bytes) -> None:
        """Add a small member."""
        self.add(name, len(content), io.BytesIO(content))

    def add_manifest(self, manifest: Manifest) -> None:
        """The first member."""
        self.add_bytes(MANIFEST, json.dumps(asdict(manifest), indent=2).encode())

    def close(self) -> None:
        """Add the last member; what was written before is whole only with it."""
        self.add_bytes(CHECKSUMS, json.dumps(self._checksums).encode())
        self._tar.close()
        self._compressed.close()


class _Hashed:
    """The first `size` bytes of a file, and their checksum as they are read. EOFError where it has fewer."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self.left = file, size
        self.digest = hashlib.sha256()

    def read(self, count: int = -1) -> bytes:
        data = self._file.read(min(self.left, CHUNK_BYTES if count < 0 else count))
        self.left -= len(data)
        self.digest.update(data)
        if not data and self.left:
            raise EOFError("it was cut off")
        return data


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that gets its name at the end of the block; nothing is left of it where the block fails. Raises StackError."""
    if path.exists():
        raise StackError(f"{path} is there already: give another name, or remove it first")
    if not path.parent.is_dir():
        raise StackError(f"{path.parent} is no folder: make it first, or give another name")
    partial: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        partial = Path(name)
        # A second descriptor: the compressor closes the file that it was given.
        with os.fdopen(descriptor, "wb") as kept:
            with os.fdopen(os.dup(descriptor), "wb") as file:
                yield file
            os.fsync(kept.fileno())
        # A link, unlike a rename, never replaces what somebody else has put there meanwhile.
        os.link(partial, path)
    except OSError as error:
        raise StackError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


class Reader:
    """The members of a file in order, each checked as it is read; `finish` says whether the file is whole.

    Raises StackError for a file that cannot be read, is none of ours, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[str, list[Any]] = {}
        self._finished = False
        with self._errors():
            compressed = pyarrow.CompressedInputStream(pyarrow.PythonFile(path.open("rb"), mode="r"), "zstd")
            self._tar = tarfile.open(fileobj=compressed, mode="r|", bufsize=CHUNK_BYTES)  # noqa: SIM115
        self.manifest = self._manifest()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
            raise StackError(f"{self._path} cannot be read: {error.strerror or error}") from None
        except (tarfile.TarError, pyarrow.ArrowException, EOFError, OSError, ValueError) as error:
            raise self._damaged(str(error)) from None

    def _damaged(self, how: str) -> StackError:
        return StackError(f"{self._path} is no whole backup ({how}): nothing is restored; take another file")

    def _manifest(self) -> Manifest:
        with self._errors():
            first = self._tar.next()
            if first is None or first.name != MANIFEST:
                raise self._damaged("it does not begin with a manifest")
            fields = json.loads(self._content(first))
            if isinstance(fields, dict) and isinstance(fields.get("format"), int) and fields["format"] > FORMAT:
                raise StackError(
                    f"{self._path} has format {fields['format']}, this version of StreamGuard reads up to {FORMAT}:"
                    f" install version {fields.get('program')} or a newer one"
                )
        try:
            return Manifest(**fields)
        except TypeError as error:
            raise self._damaged(str(error)) from None

    def members(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Name and content of each member but the first and last. What is not read of one is passed over."""
        while True:
            with self._errors():
                member = self._tar.next()
            if member is None:
                return
            if member.name == CHECKSUMS:
                with self._errors():
                    self._compare(json.loads(self._content(member)))
                continue
            if not member.isfile() or member.name.startswith("/") or ".." in Path(member.name).parts:
                raise self._damaged(f"it has a member {member.name!r}")
            yield member.name, self._pieces(member)

    def _pieces(self, member: tarfile.TarInfo) -> Iterator[bytes]:
        with self._errors():
            content = self._tar.extractfile(member)
        if content is None:
            return
        hashed = _Hashed(content, member.size)
        while hashed.left:
            with self._errors():
                data = hashed.read()
            yield data
        self._found[member.name] = [member.size, hashed.digest.hexdigest()]

    def _content(self, member: tarfile.TarInfo) -> bytes:
        return b"".join(self._pieces(member))

    def _compare(self, expected: Any) -> None:
        found = {name: check for name, check in self._found.items() if name != CHECKSUMS}
        if not isinstance(expected, dict) or set(found) != set(expected):
            raise self._damaged("members are missing")
        if wrong := sorted(name for name in found if found[name] != expected[name]):
            raise self._damaged(f"the checksum of {wrong[0]} does not match")
        self._finished = True

    def finish(self) -> None:
        """Raises StackError unless every member was there and as it was written."""
        if not self._finished:
            raise self._damaged("it was cut off")
