"""What a CSV is like, found out from how it begins: separator, quotes, and the line of the header.

Statements of banks and of M-Pesa have lines before the header (account, period, balance). The header is the first line as
wide as the lines behind it that has text in its cells and no values.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamguard.ingest.files.delimited import Dialect, Records, Table
from streamguard.ingest.files.errors import InputError
from streamguard.ingest.files.source import REASON_COLUMN

_SEPARATORS = ",;\t|"
_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
_EXCEL = re.compile(r"""["']?sep=(.)["']?\s*$""", re.I)
_VALUE = re.compile(r"[-+($€£\s]*\d[\d.,:/'\s+-]*(?:[TZ][\d.:,+-]*|\s?[AaPp]\.?[Mm]\.?|[eE][+-]?\d+|[)%])*", re.ASCII)

_SHORT = 5
"""Up to so many rows all of them say how wide the table is, of more the second half."""

_Rows = list[tuple[int, list[str]]]


@dataclass
class _Guess:
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
                self.width = max(len(_trimmed(cells)) for cells in filled if len(cells) == self.common)
                self.score = widths[self.common] * (self.common - 1)
                self.header = self._header()

    def _header(self) -> int | None:
        for place, (_, cells) in enumerate(self.rows):
            named = _trimmed(cells)
            if named and named[-1].strip().lower() == REASON_COLUMN:
                return place
            if len(cells) != self.common and len(named) != self.width:
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


def shape_of(name: str, lines: Sequence[str], separator: str | None, header_line: int | None) -> Table:
    """Separator, quotes and columns from the first lines of a CSV, which have their line ends.

    `header_line` counts from 1; 0 says that there is no header. Raises InputError where no separator or header is found.
    """
    said = _EXCEL.match(lines[0]) if lines else None
    given = _given(separator) or (said[1] if said else None)
    before = 1 if said else 0
    guesses = [_guess(lines[before:], before + 1, candidate) for candidate in (given or _SEPARATORS)]
    guesses = [guess for guess in guesses if guess.common > 1 or (given and guess.rows)]
    if not guesses:
        raise InputError(
            f"{name} has no columns: no comma, semicolon, tab or '|' divides its lines; "
            "--separator says what does, if it is a CSV at all"
        )
    best = max(guesses, key=lambda guess: (guess.header is not None, guess.score))
    best = _with_quotes(best, lines[before:], before + 1)
    return _table(name, best, header_line)


def _given(separator: str | None) -> str | None:
    if separator is None:
        return None
    separator = _NAMES.get(separator.lower(), separator)
    if len(separator) != 1:
        raise InputError(f"--separator {separator!r}: one character is expected, such as ';', or tab")
    return separator


def _guess(lines: Sequence[str], first_line: int, separator: str, **options: Any) -> _Guess:
    dialect = Dialect(separator)._replace(**options)
    found = list(Records(iter(lines), dialect, first_line=first_line))
    rows = [(line, cells) for line, cells, _ in found if cells is not None]
    starts = [*(line for line, _, _ in found), first_line + len(lines)]
    return _Guess(dialect, rows, len(found) - len(rows), starts)


def _with_quotes(guess: _Guess, lines: Sequence[str], first_line: int) -> _Guess:
    """The guess with the kind of quotes that leaves the fewest lines at fault."""
    separator, text = guess.dialect.separator, "".join(lines)
    options: dict[str, Any] = {}
    apart = re.escape(separator)
    if '"' not in text and len(re.findall(rf"{apart}'[^']*'(?={apart}|[\r\n])", text)) * 2 >= len(guess.rows):
        options["quote"] = "'"
    if re.search(rf'{apart} +"', text):
        options["spaces"] = True
    if guess.faults and '\\"' in text:
        options["escape"] = "\\"
    if not options:
        return guess
    other = _guess(lines, first_line, separator, **options)
    return other if other.header is not None and other.faults <= guess.faults else guess


def _table(name: str, guess: _Guess, header_line: int | None) -> Table:
    dialect = guess.dialect
    found = [f"separated by {_label(dialect.separator)}"]
    if dialect.quote != '"':
        found.append(f"quoted by {dialect.quote}")
    if header_line == 0:
        columns = _unique([""] * guess.width)
        return Table(dialect, columns, guess.rows[0][0] - 1, (*found, "without a header"))
    place = guess.header
    if header_line is not None:
        place = next((at for at, (line, _) in enumerate(guess.rows) if line == header_line), None)
        if place is None:
            raise InputError(f"{name} has no header in line {header_line}: --header-line is the line of the names")
    if place is None:
        line, cells = next((row for row in guess.rows if len(row[1]) == guess.common), guess.rows[0])
        shown = ", ".join(cell[:30] for cell in cells[:3])
        raise InputError(
            f"{name} has no line with the names of the columns: line {line} has values ({shown}, ...); "
            "put the names above it, or --header-line 0 calls the columns column_1, column_2, ..., or --header-line N "
            "says where the names are"
        )
    line, header = guess.rows[place]
    behind = guess.starts[guess.starts.index(line) + 1]
    header = _trimmed(header)
    width = max(len(header), guess.width if header[-1:] != [REASON_COLUMN] else 0)
    columns = _unique(header + [""] * (width - len(header)))
    if line > 1:
        found.append(f"header in line {line}")
    found += [f"column {columns[at]} is a second {header[at]}" for at in _repeated(header)]
    return Table(dialect, columns, behind - 1, tuple(found))


def _trimmed(cells: list[str]) -> list[str]:
    """Without the empty cells at the end."""
    last = max((at for at, cell in enumerate(cells, 1) if cell.strip()), default=0)
    return cells[:last]


def _repeated(header: list[str]) -> list[int]:
    return [at for at, name in enumerate(header) if name.strip() and name in header[:at]]


def _unique(header: list[str]) -> tuple[str, ...]:
    """Names of columns: those without one get `column_3`, repeated ones `amount_2`."""
    names: dict[str, None] = {}
    for at, written in enumerate(header, 1):
        name = written if written.strip() else f"column_{at}"
        number = 2
        unique = name
        while unique in names or (unique != name and unique in header):
            unique, number = f"{name}_{number}", number + 1
        names[unique] = None
    return tuple(names)


def _label(separator: str) -> str:
    return "tab" if separator == "\t" else f"'{separator}'"
