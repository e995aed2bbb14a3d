"""CSV as rows: cells as they are written, and no line that is skipped in silence.

Quotes are read strictly, so that a quote that is never closed cannot swallow the lines behind it: the line in which it
opens is an `Unreadable`, and those behind it are read again by themselves.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from streamguard.ingest.files.source import Row, Unreadable
from streamguard.ingest.files.text import shown, undecoded, undecoded_reason

_LONGEST_CELL = csv.field_size_limit()


class Dialect(NamedTuple):
    """How the cells of a CSV are written."""

    separator: str = ","
    quote: str = '"'
    escape: str | None = None
    """What precedes a quote within a cell, where it is not doubled."""
    spaces: bool = False
    """Whether spaces behind a separator belong to no cell."""

    def reader(self, lines: Iterable[str]) -> Any:
        """A csv.reader, strict about quotes."""
        return csv.reader(
            lines,
            delimiter=self.separator,
            quotechar=self.quote,
            escapechar=self.escape,
            skipinitialspace=self.spaces,
            strict=True,
        )


class Table(NamedTuple):
    """What `csv_shape` finds out about a CSV."""

    dialect: Dialect
    columns: tuple[str, ...]
    """The names of all columns, that of the reason for a refusal too."""
    lines_before: int
    """The lines before the first row: the header and what precedes it."""
    found: tuple[str, ...]


class Records:
    """The records of a CSV: `for line, cells, reason in records`, with `cells` None for a line at fault.

    `width` is how many cells a record has that spans several lines; with any other number its first line is at fault, and
    the others are read again. None takes all. `text` is what the current record was read from.
    """

    def __init__(self, lines: Iterator[str], dialect: Dialect, width: int | None = None, first_line: int = 1) -> None:
        self._lines = lines
        self._dialect = dialect
        self._width = width
        self._line = first_line
        self._taken: list[str] = []
        self._again: deque[str] = deque()

    @property
    def text(self) -> str:
        return "".join(self._taken).rstrip("\r\n")

    def __iter__(self) -> Iterator[tuple[int, list[str] | None, str]]:
        taken, width = self._taken, self._width
        while True:
            try:
                for cells in self._dialect.reader(self._feed()):
                    if len(taken) > 1 and width is not None and len(cells) != width:
                        raise csv.Error
                    yield self._line, cells, ""
                    self._line += len(taken)
                    taken.clear()
                return
            except csv.Error as error:
                reason = _reason(str(error), len(taken))
                self._again.extendleft(reversed(taken[1:]))
                del taken[1:]
                yield self._line, None, reason
                self._line += 1
                taken.clear()

    def _feed(self) -> Iterator[str]:
        taken, again = self._taken, self._again
        while again:
            line = again.popleft()
            taken.append(line)
            yield line
        for line in self._lines:
            taken.append(line)
            yield line


def rows(lines: Iterator[str], table: Table, encoding: str, reason_at: int | None) -> Iterator[Row | Unreadable]:
    """What follows the header. Lines without any text are left out, and cells behind the columns if all are empty.

    `reason_at` is the position of the column that an earlier refusal has added, which is taken out.
    """
    width = len(table.columns)
    records = Records(lines, table.dialect, width, table.lines_before + 1)
    for line, cells, reason in records:
        if cells is None:
            yield Unreadable(line, shown(records.text), reason)
            continue
        text = "".join(cells)
        if not text or text.isspace() or text == "\x1a":
            continue
        if not text.isascii() and undecoded(text):
            yield Unreadable(line, shown(records.text), undecoded_reason(encoding))
            continue
        if len(cells) != width:
            if len(cells) < width or any(cells[width:]):
                reason = f"it has {len(cells)} {'cell' if len(cells) == 1 else 'cells'}, the header has {width}"
                yield Unreadable(line, shown(records.text), reason)
                continue
            del cells[width:]
        if reason_at is not None:
            del cells[reason_at]
        yield Row(line, cells)


def _reason(error: str, lines: int) -> str:
    """The reason in a person's words for an error of the csv module."""
    if lines > 1 or "end of data" in error:
        return "a quote that opens in this line is not closed"
    if "field limit" in error:
        return f"a cell is longer than {_LONGEST_CELL} characters"
    if "expected after" in error:
        return "a quote within a quoted cell is not doubled"
    return error
