"""Files of JSON lines, one for each partition: `FOLDER/TOPIC-PARTITION.jsonl`.

A line is an object with `offset`, `timestamp`, `key` and `value`; a value that is no JSON is `value_base64`. The offset of
the last whole line is where the sink continues; a line that a crash cut short is removed first.
"""

from __future__ import annotations

import base64
import fcntl
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from streamguard.sinks.base import SinkError, SinkRecord, SinkUnavailable, sink

_TAIL = 1 << 16
"""Bytes read at a time from the end of a file, looking for its last line."""


@sink("jsonl", destination=lambda settings: str(settings.sink_files))
class JsonLinesSink:
    """Appends to files below a folder, which it makes. One process at a time: the folder's lock file says which."""

    def __init__(self, destination: str) -> None:
        self._folder = Path(destination)
        self._files: dict[tuple[str, int], BinaryIO] = {}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self._folder / ".lock").open("wb")
        except OSError as error:
            raise SinkError(f"the folder {self._folder} cannot be made: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise SinkError(f"another process writes to {self._folder}; choose another folder, or end it") from None

    def next_offsets(self, topic: str) -> Mapping[int, int]:
        """Continue behind the last whole line of each file."""
        self._close_files()
        offsets = {}
        try:
            for file in sorted(self._folder.glob(f"{topic}-*.jsonl")):
                number = file.stem.removeprefix(f"{topic}-")
                if number.isdigit():
                    offsets[int(number)] = _next_offset(file)
        except OSError as error:
            raise self._unavailable("read", error) from None
        return offsets

    def write(self, records: Sequence[SinkRecord]) -> None:
        """Append the records and sync the files that they went to."""
        touched = {}
        try:
            for record in records:
                file = self._file(record.topic, record.partition)
                file.write(_line(record))
                touched[file.name] = file
            for file in touched.values():
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise self._unavailable("written to", error) from None

    def close(self) -> None:
        self._close_files()
        self._lock.close()

    def _unavailable(self, what: str, error: OSError) -> SinkUnavailable:
        self._close_files()
        return SinkUnavailable(f"{error.filename or self._folder} cannot be {what}: {error.strerror}")

    def _close_files(self) -> None:
        for file in self._files.values():
            # What could not be written is tried once more by it.
            with suppress(OSError):
                file.close()
        self._files.clear()

    def _file(self, topic: str, partition: int) -> BinaryIO:
        place = (topic, partition)
        if place not in self._files:
            self._files[place] = (self._folder / f"{topic}-{partition}.jsonl").open("ab")
        return self._files[place]


def _line(record: SinkRecord) -> bytes:
    fields: dict[str, Any] = {"offset": record.offset, "timestamp": record.timestamp}
    fields["key"] = None if record.key is None else record.key.decode("utf-8", "replace")
    try:
        fields["value"] = None if record.value is None else orjson.loads(record.value)
    except orjson.JSONDecodeError:
        fields["value_base64"] = base64.b64encode(record.value or b"").decode("ascii")
    return orjson.dumps(fields) + b"\n"


def _next_offset(file: Path) -> int:
    """The offset behind the last whole line, 0 where there is none; what follows that line is removed."""
    with file.open("r+b") as opened:
        end = _after_last(opened, opened.seek(0, os.SEEK_END))
        opened.truncate(end)
        if end == 0:
            return 0
        start = _after_last(opened, end - 1)
        opened.seek(start)
        line = opened.read(end - start)
    try:
        return int(orjson.loads(line)["offset"]) + 1
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise SinkError(f"{file}: its last line has no offset; move the file away to start anew") from None


def _after_last(opened: BinaryIO, end: int) -> int:
    """The position behind the last line break before `end`; 0 where there is none."""
    while end > 0:
        start = max(0, end - _TAIL)
        opened.seek(start)
        found = opened.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
