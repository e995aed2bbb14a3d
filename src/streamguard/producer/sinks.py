"""Where records go: the interface, and files. The broker's sink is in `kafka_sink`."""

from __future__ import annotations

import csv
import gzip
import io
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import orjson

from streamguard.models import Transaction
from streamguard.producer.errors import InputError, NotAcknowledged
from streamguard.producer.record import Record

FIELDS: tuple[str, ...] = tuple(Transaction.model_fields)
"""The columns of a transaction, in the order of design section 4."""

COMMISSION_FIELDS = ("commission_type", "commission")
"""What payment service providers note beside a transaction; columns only where the first record has them."""

EXTRA_COLUMNS = ("label", "lookalike", "incident", "defect")


class Sink(Protocol):
    """Takes records; `acknowledged` counts those that are where they belong, `done` is the word for that."""

    sent: int
    done: str

    @property
    def acknowledged(self) -> int: ...

    def send(self, record: Record) -> None:
        """Hand over one record; may wait, may raise ProducerError."""

    def finish(self) -> None:
        """Wait until everything sent is acknowledged; raises ProducerError if something never will be."""

    def close(self) -> None:
        """Give back connections and files; after `finish`, or instead of it when giving up."""


class FileSink:
    """JSON lines or CSV, gzipped where the name ends in .gz; `replay` reads both.

    A line is the transaction's own fields and, beside them, the `EXTRA_COLUMNS` that say something. A record of another
    topic (a chargeback) is in JSON lines with its `topic`; a CSV has no columns for it.
    A value that is no JSON object is in JSON lines as `{"key": ..., "raw": its bytes as Latin-1}`.
    """

    done = "written"

    def __init__(self, path: Path) -> None:
        self.sent = 0
        self.path = path
        self._is_broken = False
        self._kind = file_kind(path)
        try:
            self._raw = path.open("wb", buffering=1 << 20)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror or error}") from None
        # No name and no time in gzip's header: the same records make the same file.
        zipped = path.suffix.lower() == ".gz"
        self._file: Any = gzip.GzipFile("", "wb", 6, self._raw, mtime=0) if zipped else self._raw
        self._text = io.StringIO()
        self._csv = csv.writer(self._text, lineterminator="\n")
        self._columns: tuple[str, ...] = ()

    @property
    def acknowledged(self) -> int:
        return 0 if self._is_broken else self.sent

    def send(self, record: Record) -> None:
        """Write one line; raises NotAcknowledged if the disk is full, InputError for a value that has no columns."""
        line = self._csv_line(record) if self._kind == "csv" else _json_line(record)
        try:
            self._file.write(line)
        except OSError as error:
            raise self._broken(error) from None
        self.sent += 1

    def _csv_line(self, record: Record) -> bytes:
        fields = _object(record.value)
        if fields is None or record.defect == "malformed":
            raise InputError("a malformed value has no columns: write .jsonl, or leave malformed out of --bad")
        if record.topic:
            raise InputError(f"a record of {record.topic} has no columns: write .jsonl, or leave out --chargebacks")
        self._write_header(fields)
        extra = [getattr(record, name) for name in EXTRA_COLUMNS]
        self._csv.writerow([fields.get(name) for name in self._columns] + extra)
        line = self._text.getvalue().encode()
        self._text.seek(0)
        self._text.truncate()
        return line

    def _write_header(self, fields: dict[str, Any]) -> None:
        """The first line of a CSV, once."""
        if not self._columns:
            self._columns = (*FIELDS, *(name for name in COMMISSION_FIELDS if name in fields))
            self._csv.writerow([*self._columns, *EXTRA_COLUMNS])

    def finish(self) -> None:
        """Write out what is buffered; raises NotAcknowledged if the disk does not take it."""
        try:
            if self._kind == "csv" and not self._columns:
                self._write_header({})
                self._file.write(self._text.getvalue().encode())
            self._file.flush()
            self._raw.flush()
        except OSError as error:
            raise self._broken(error) from None

    def close(self) -> None:
        # What could not be written has been said by then.
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._raw.close()

    def _broken(self, error: OSError) -> NotAcknowledged:
        # How much of the buffer reached the disk is not known, so nothing counts as written.
        self._is_broken = True
        return NotAcknowledged(f"cannot write {self.path} any further: {error.strerror or error}")


def file_kind(path: Path) -> str:
    """`csv` or `jsonl` by the name, whatever `.gz` follows; raises InputError naming the choices."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    kind = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}.get(
        suffixes[-1] if suffixes else ""
    )
    if kind is None:
        raise InputError(f"{path} is neither CSV nor JSON lines by its name: use .csv or .jsonl, with .gz or without")
    return kind


def is_same_file(path: Path, other: Path) -> bool:
    """Whether both names lead to one file."""
    try:
        return path.samefile(other)
    except OSError:
        return False


def _json_line(record: Record) -> bytes:
    extra: dict[str, str] = {"topic": record.topic} if record.topic else {}
    for name in EXTRA_COLUMNS:
        if value := getattr(record, name):
            extra[name] = value
    value = record.value
    if value is None or (record.defect and _object(value) is None):
        raw = None if value is None else value.decode("latin-1")
        return orjson.dumps({"key": record.key.decode(), "raw": raw, **extra}) + b"\n"
    if not extra:
        return value + b"\n"
    return value[:-1] + b"," + orjson.dumps(extra)[1:] + b"\n"


def _object(value: bytes | None) -> dict[str, Any] | None:
    try:
        fields = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return None
    return fields if isinstance(fields, dict) else None
