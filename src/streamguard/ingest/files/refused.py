"""Refused rows in a file beside: the source's format and one more column, why. Mended by hand it is imported as it is."""

from __future__ import annotations

import csv
import io
import json
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

from streamguard.ingest.files.delimited import Dialect
from streamguard.ingest.files.jsons import RAW_MEMBER
from streamguard.ingest.files.source import REASON_COLUMN, Row, Source, Unreadable


class RefusedFile:
    """A file that is made with the first row added to it: CSV with the source's separator, else JSON lines; in UTF-8."""

    def __init__(self, source: Source, path: Path) -> None:
        self.path = path
        self._source = source
        self._file: IO[str] | None = None

    def add(self, row: Row | Unreadable, reason: str) -> None:
        """Write a row, or a line that is none, with the reason. Raises OSError."""
        is_csv = self._source.kind == "csv"
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8", errors="backslashreplace", newline="")
            if is_csv:
                self._file.write(self._line([*self._source.columns, REASON_COLUMN]))
        if is_csv:
            cells = list(row.values) if isinstance(row, Row) else self._cells(row.text)
            self._file.write(self._line([*cells, reason]))
        else:
            members = row.values if isinstance(row, Row) else {RAW_MEMBER: row.text}
            self._file.write(to_json({**members, REASON_COLUMN: reason}) + "\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _line(self, cells: list[str]) -> str:
        text = io.StringIO()
        # Its default line end makes it quote both characters of it.
        csv.writer(text, delimiter=self._source.separator).writerow(cells)
        return text.getvalue().removesuffix("\r\n") + "\n"

    def _cells(self, text: str) -> list[str]:
        """The cells of a line with too few or too many of them; any other line is one cell, which makes too few."""
        width = len(self._source.columns)
        try:
            dialect = Dialect(self._source.separator, self._source.quote)
            rows = list(dialect.reader(io.StringIO(text, newline="")))
        except csv.Error:
            return [text]
        return rows[0] if len(rows) == 1 and len(rows[0]) != width else [text]


def to_json(value: Any) -> str:
    """JSON in which numbers have the digits that they had; times are ISO text, bytes are hexadecimal."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{to_json(str(name))}: {to_json(member)}" for name, member in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(to_json, value)) + "]"
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, date | time):
        return json.dumps(value.isoformat())
    if isinstance(value, bytes):
        return json.dumps(value.hex())
    text = json.dumps(value, ensure_ascii=False, default=str)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value)
    return text
