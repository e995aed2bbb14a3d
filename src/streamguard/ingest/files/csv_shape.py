"""What a CSV is like, found out from how it begins: separator, quotes, and the line of the header.

Statements of banks and of M-Pesa have lines before the header (account, period, balance). The header is the first line as
wide as the lines behind it that has text in its cells and no values.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from streamguard.ingest.files.csv_guess import Guess, guess_of, trimmed, with_quotes
from streamguard.ingest.files.delimited import Dialect, Table
from streamguard.ingest.files.errors import InputError
from streamguard.ingest.files.source import REASON_COLUMN

_SEPARATORS = ",;\t|"
_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
_EXCEL = re.compile(r"""["']?sep=(.)["']?\s*$""", re.I)


def shape_of(name: str, lines: Sequence[str], separator: str | None, header_line: int | None) -> Table:
    """Separator, quotes and columns from the first lines of a CSV, which have their line ends.

    `header_line` counts from 1; 0 says that there is no header. Raises InputError where no separator or header is found.
    """
    said = _EXCEL.match(lines[0]) if lines else None
    given = _given(separator) or (said[1] if said else None)
    before = 1 if said else 0
    guesses = [guess_of(lines[before:], before + 1, Dialect(candidate)) for candidate in (given or _SEPARATORS)]
    guesses = [guess for guess in guesses if guess.common > 1 or (given and guess.rows)]
    if not guesses:
        raise InputError(
            f"{name} has no columns: no comma, semicolon, tab or '|' divides its lines; "
            "--separator says what does, if it is a CSV at all"
        )
    best = max(guesses, key=lambda guess: (guess.header is not None, guess.score))
    best = with_quotes(best, lines[before:], before + 1)
    return _table(name, best, header_line)


def _given(separator: str | None) -> str | None:
    if separator is None:
        return None
    separator = _NAMES.get(separator.lower(), separator)
    if len(separator) != 1:
        raise InputError(f"--separator {separator!r}: one character is expected, such as ';', or tab")
    return separator


def _table(name: str, guess: Guess, header_line: int | None) -> Table:
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
    header = trimmed(header)
    width = max(len(header), guess.width if header[-1:] != [REASON_COLUMN] else 0)
    columns = _unique(header + [""] * (width - len(header)))
    if line > 1:
        found.append(f"header in line {line}")
    found += [f"column {columns[at]} is a second {header[at]}" for at in _repeated(header)]
    return Table(dialect, columns, behind - 1, tuple(found))


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
