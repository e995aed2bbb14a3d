"""What the first lines of a CSV are with one separator: how wide, with which quotes, and which line is the header."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from streamguard.ingest.files.delimited import Dialect, Records
from streamguard.ingest.files.source import REASON_COLUMN

_VALUE = re.compile(r"[-+($€£\s]*\d[\d.,:/'\s+-]*(?:[TZ][\d.:,+-]*|\s?[AaPp]\.?[Mm]\.?|[eE][+-]?\d+|[)%])*", re.ASCII)

_SHORT = 5
"""Up to so many rows all of them say how wide the table is, of more the second half."""

_Rows = list[tuple[int, list[str]]]


@dataclass
class Guess:
    dialect: Dialect
    rows: _Rows
    faults: int
    starts: list[int]
    """The line in which each record begins, those at fault too, and the one behind the last."""
    score: int = 0
    common: int = 0
    """The number of cells that most rows have."""
    width: int = 0
    """The same without the last ones, if they are always empty."""
    header: int | None = None
    """Its place in `rows`."""

    def __post_init__(self) -> None:
        filled = [cells for _, cells in self.rows if any(cells)]
        # A summary above the table has a width of its own, hence the second half first. Where most rows are at fault, the
        # width is that of the first line, if a row has it too.
        halves = [filled[len(filled) // 2 :], filled] if len(filled) > _SHORT else [filled]
        same = [[cells for cells in filled if len(cells) == len(filled[0])]] if filled else []
        for part in [*halves, *(rows for rows in same if len(rows) > 1)]:
            widths = Counter(map(len, part))
            if self.header is None and widths:
                self.common = max(widths, key=lambda width: (widths[width] * (width - 1), widths[width]))
                self.width = max(len(trimmed(cells)) for cells in filled if len(cells) == self.common)
                self.score = widths[self.common] * (self.common - 1)
                self.header = self._header()

    @property
    def misfits(self) -> int:
        """How many records cannot be read, or are of another width."""
        return self.faults + sum(len(cells) != self.common for _, cells in self.rows if any(cells))

    def _header(self) -> int | None:
        for place, (_, cells) in enumerate(self.rows):
            named = trimmed(cells)
            if named and named[-1].strip().lower() == REASON_COLUMN:
                return place
            if len(cells) != self.common and not self.width <= len(named) <= self.common:
                continue
            texts = [cell for cell in named[: self.width] if cell.strip()]
            if any(_VALUE.fullmatch(text[:64]) for text in texts) and texts != [
                str(number) for number in range(len(named))
            ]:
                if len(texts) >= self.width - 1:
                    return None
            elif 2 * len(texts) >= self.width:
                return place
        return None


def guess_of(lines: Sequence[str], first_line: int, dialect: Dialect) -> Guess:
    found = list(Records(iter(lines), dialect, first_line=first_line))
    rows = [(line, cells) for line, cells, _ in found if cells is not None]
    starts = [*(line for line, _, _ in found), first_line + len(lines)]
    return Guess(dialect, rows, len(found) - len(rows), starts)


def with_quotes(guess: Guess, lines: Sequence[str], first_line: int) -> Guess:
    """The guess with the kind of quotes that leaves the fewest lines at fault."""
    text, apart = "".join(lines), re.escape(guess.dialect.separator)
    cells = sum(len(row) for _, row in guess.rows[1:])
    single = rf"(?<={apart}|\n|\r)'[^']+'(?={apart}|[\r\n])"
    if '"' not in text and len(re.findall(single, text)) * 2 >= cells > 0:
        return guess_of(lines, first_line, guess.dialect._replace(quote="'"))
    for option, sign in ({"spaces": True}, rf'{apart} +"'), ({"escape": "\\"}, r'\\"'):
        if guess.misfits and re.search(sign, text):
            other = guess_of(lines, first_line, guess.dialect._replace(**option))
            if other.header is not None and other.misfits < guess.misfits:
                guess = other
    return guess


def trimmed(cells: list[str]) -> list[str]:
    """Without the empty cells at the end."""
    last = max((at for at, cell in enumerate(cells, 1) if cell.strip()), default=0)
    return cells[:last]
