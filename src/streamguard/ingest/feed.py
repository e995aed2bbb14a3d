"""The rows of a file as records, and those that are none: counted, and written to a file beside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

from streamguard.ingest.errors import BadRow, InputError
from streamguard.ingest.files import RefusedFile, Row, Source, Unreadable
from streamguard.ingest.refusals import Refusals
from streamguard.ingest.stored import DeadLine
from streamguard.producer.record import Record


class Feed:
    """Reads a source once. `rows_read` = records + `refusals.count`, whatever the rows are."""

    def __init__(self, source: Source, record_of: Callable[[object], Record], refused: Path | None) -> None:
        self.source = source
        self.refusals = Refusals()
        self.rows_read = 0
        self._record_of = record_of
        self._refused = RefusedFile(source, refused) if refused else None
        self.refused_path = refused

    def records(self, at_line: Callable[[int], None] = lambda _: None) -> Iterator[Record]:
        """A record for each row that is a payment; `at_line` is told the line before. Raises InputError."""
        for row in self.source.rows():
            self.rows_read += 1
            if isinstance(row, Unreadable):
                self._refuse(row, row.reason)
                continue
            try:
                record = self._record_of(row.values)
            except BadRow as error:
                self._refuse(row, str(error), error.kind)
                continue
            at_line(row.line)
            yield record

    def add_dead(self, dead: list[DeadLine]) -> None:
        """Count the lines that the consumer refused; a file is read once more for their rows."""
        again = self.source.again
        reasons = {one.line: one.reason for one in dead}
        if again is not None and reasons and self._refused is not None:
            with closing(again()) as source:
                for row in source.rows():
                    if isinstance(row, Row) and (reason := reasons.pop(row.line, None)) is not None:
                        self._refuse(row, reason, _kind(reason))
        for line, reason in reasons.items():
            self.refusals.add(line, reason, _kind(reason))

    def _refuse(self, row: Row | Unreadable, reason: str, kind: str | None = None) -> None:
        self.refusals.add(row.line, reason, kind)
        if self._refused is None:
            return
        try:
            self._refused.add(row, reason)
        except OSError as error:
            raise InputError(
                f"cannot write refused rows to {self.refused_path}: {error.strerror or error}; --refused names another file"
            ) from None

    def close(self) -> None:
        """Finish the file of refused rows."""
        if self._refused is not None:
            self._refused.close()


_AGAIN = "was stored before"


def _kind(reason: str) -> str:
    """A dead letter's reason without what differs from record to record."""
    if _AGAIN in reason:
        return _AGAIN
    return reason.partition(" (got")[0]


def refused_path(source: Source, path: str) -> Path:
    """A new name for the refused rows: beside the file, or here where it came from standard input."""
    given = Path("payments" if path == "-" else path)
    suffix = ".csv" if source.kind == "csv" else ".jsonl"
    stem = given.name
    for _ in range(3):
        base, dot, last = stem.rpartition(".")
        if not dot or last.lower() not in _SUFFIXES:
            break
        stem = base
    for n in count(1):
        candidate = given.with_name(f"{stem}.refused{'' if n == 1 else f'-{n}'}{suffix}")
        if not candidate.exists():
            return candidate
    raise AssertionError


_SUFFIXES = frozenset("gz zst zip csv tsv txt json jsonl ndjson parquet ofx qfx".split())
