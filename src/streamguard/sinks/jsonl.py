"""Files of JSON lines, one for each partition: `FOLDER/TOPIC-PARTITION.jsonl`.

A line is an object with `offset`, `timestamp`, `key` and `value`; a value that is no JSON is `value_base64`. The offset of
the last whole line is where the sink continues; a line that a crash cut short is removed first. A file that is large enough,
or of an earlier day, is renamed to `TOPIC-PARTITION.DAY.OFFSET.jsonl` (its day, UTC, and its first offset) before the next line.
"""

from __future__ import annotations

import base64
import fcntl
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from streamguard.sinks.base import SinkError, SinkRecord, SinkUnavailable, sink
from streamguard.sinks.lines import first_offset, next_offset
from streamguard.sinks.typed import day_of


@sink(
    "jsonl",
    destination=lambda settings: str(settings.sink_files),
    options=lambda settings: {"most_bytes": settings.sink_files_mb * 2**20},
)
class JsonLinesSink:
    """Appends to files below a folder, which it makes. One process at a time: the folder's lock file says which.

    `most_bytes`: a file that has so many is renamed. `clock`: the time in seconds since the epoch.
    """

    def __init__(
        self, destination: str, *, most_bytes: int = 256 * 2**20, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder = Path(destination)
        self._most_bytes, self._clock = most_bytes, clock
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
        """Continue behind the last whole line of each partition."""
        self._close_files()
        name = re.compile(re.escape(topic) + r"-(\d+)(?:\.\d{4}-\d\d-\d\d\.\d{20})?\.jsonl")
        offsets: dict[int, int] = {}
        try:
            for file in sorted(self._folder.iterdir()):
                if (found := name.fullmatch(file.name)) is not None:
                    number = int(found[1])
                    offsets[number] = max(offsets.get(number, 0), next_offset(file))
        except OSError as error:
            raise self._unavailable("read", error) from None
        return offsets

    def write(self, records: Sequence[SinkRecord]) -> None:
        """Append the records and sync the files that they went to."""
        touched: dict[tuple[str, int], BinaryIO] = {}
        try:
            for record in records:
                place = (record.topic, record.partition)
                if place not in touched:
                    touched[place] = self._file(*place)
                touched[place].write(_line(record))
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
        """The file to append to; the one before it is renamed where it is full or of an earlier day."""
        place, path = (topic, partition), self._folder / f"{topic}-{partition}.jsonl"
        if path.is_file() and (has := path.stat()).st_size:
            day, today = day_of(int(has.st_mtime * 1000)), day_of(int(self._clock() * 1000))
            if has.st_size >= self._most_bytes or day < today:
                if place in self._files:
                    self._files.pop(place).close()
                path.rename(path.with_name(f"{topic}-{partition}.{day}.{first_offset(path):020}.jsonl"))
        if place not in self._files:
            self._files[place] = path.open("ab")
        return self._files[place]


def _line(record: SinkRecord) -> bytes:
    fields: dict[str, Any] = {"offset": record.offset, "timestamp": record.timestamp}
    fields["key"] = None if record.key is None else record.key.decode("utf-8", "replace")
    value = record.value
    if value is None:
        return orjson.dumps({**fields, "value": None}) + b"\n"
    try:
        read = orjson.loads(value)
        # As it was written, with all digits; but in one line.
        one_line = orjson.dumps(read) if b"\n" in value or b"\r" in value else value
        return orjson.dumps({**fields, "value": orjson.Fragment(one_line)}) + b"\n"
    except (orjson.JSONDecodeError, TypeError):
        # No JSON, or too deep to be written again.
        return orjson.dumps({**fields, "value_base64": base64.b64encode(value).decode("ascii")}) + b"\n"
