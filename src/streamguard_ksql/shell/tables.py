"""Tables of text, as ksqlDB's shell draws them, in the width of the terminal.

Columns of lists are as wide as what is in them:         Columns of a query's rows are equally wide, known at once:

     Stream Name | Kafka Topic | Windowed                     +-----------+-----------+
    ----------------------------------------                  |ACCOUNT_ID |AMOUNT     |
     ALERTS      | alerts      | false                        +-----------+-----------+
    ----------------------------------------                  |A1         |2001.0     |

What does not fit goes on in the next line, marked with `>`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

MIN_COLUMN = 6
DEFAULT_WIDTH, DEFAULT_COLUMN = 80, 20
"""The width of rows where the output is no terminal: so much in all, or so much for each column."""


def display_width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def pad(text: str, width: int) -> str:
    return text + " " * max(0, width - display_width(text))


def wrap(text: str, width: int) -> list[str]:
    """A cell as the lines it needs; all but the last end in `>`. Line breaks in the text are kept."""
    lines: list[str] = []
    for part in text.split("\n"):
        while display_width(part) > width:
            cut = _fitting(part, width - 1)
            lines.append(part[:cut] + ">")
            part = part[cut:]
        lines.append(part)
    return lines


def _fitting(text: str, width: int) -> int:
    """How many characters fit; at least one."""
    used = 0
    for i, character in enumerate(text):
        used += display_width(character)
        if used > width:
            return max(1, i)
    return len(text)


def draw_list(headers: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """A table with rulers of dashes; `width` is the terminal's, None for as wide as it gets."""
    natural = [
        max((display_width(line) for row in [headers, *rows] for line in row[i].split("\n")), default=1)
        for i in range(len(headers))
    ]
    widths = _shrunk(natural, width)
    ruler = "-" * (sum(widths) + 3 * len(widths) - 1)
    lines = _list_row(headers, widths)
    lines.append(ruler)
    for row in rows:
        lines += _list_row(row, widths)
    lines.append(ruler)
    return lines


def _shrunk(natural: Sequence[int], width: int | None) -> list[int]:
    """Column widths that fit: the widest give way first."""
    widths = [max(1, n) for n in natural]
    if width is None:
        return widths
    room = max(width - 3 * len(widths) + 1, MIN_COLUMN * len(widths))
    while sum(widths) > room:
        widest = max(widths)
        if widest <= MIN_COLUMN:
            break
        second = max((w for w in widths if w < widest), default=MIN_COLUMN)
        i = widths.index(widest)
        widths[i] = max(MIN_COLUMN, second, widest - (sum(widths) - room))
        if widths[i] == widest:
            widths[i] -= 1
    return widths


def _list_row(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    wrapped = [wrap(cell, width) for cell, width in zip(cells, widths, strict=True)]
    lines = []
    for i in range(max(map(len, wrapped), default=0)):
        parts = [pad(w[i] if i < len(w) else "", width) for w, width in zip(wrapped, widths, strict=True)]
        lines.append(" " + " | ".join(parts) + " ")
    return lines


class RowTable:
    """The table of a query's rows: its columns share the width, so that rows can be drawn as they come."""

    def __init__(self, headers: Sequence[str], width: int | None) -> None:
        self.headers = headers
        count = max(1, len(headers))
        given = max(DEFAULT_WIDTH, DEFAULT_COLUMN * count) if width is None else width
        self.column = max(MIN_COLUMN, (given - 1) // count - 1)

    @property
    def ruler(self) -> str:
        return "+" + ("-" * self.column + "+") * len(self.headers)

    def head(self) -> list[str]:
        return [self.ruler, *self.row(self.headers), self.ruler]

    def row(self, cells: Sequence[str]) -> list[str]:
        wrapped = [wrap(cell, self.column) for cell in cells]
        lines = []
        for i in range(max(map(len, wrapped), default=0)):
            lines.append("|" + "|".join(pad(w[i] if i < len(w) else "", self.column) for w in wrapped) + "|")
        return lines
