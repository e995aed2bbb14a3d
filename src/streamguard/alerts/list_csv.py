"""A list as CSV: one entry a line, and back; what is wrong is said by line, and then nothing is taken.

Columns: kind, value, reason and expires_at (ISO 8601, UTC where it names no zone; empty for an entry without an end). Further
columns are for people. A text that a spreadsheet would run as a formula is written with an apostrophe, which is taken off again.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import datetime, timezone

from streamguard.alerts.list_entries import ListedEntry
from streamguard.alerts.lists import Entry, Kind
from streamguard.config import UserError

COLUMNS = ("kind", "value", "reason", "expires_at", "created_at", "changed_by")
NEEDED = ("kind", "value")
LONGEST = 1_000
MOST_SHOWN = 50
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class WrongLines(UserError):
    """The file has lines that are no entries; `lines` has a sentence for each of the first."""

    def __init__(self, lines: list[str], count: int) -> None:
        self.lines = lines
        self.count = count
        super().__init__(f"nothing was changed: {count:,} lines are wrong, the first: {lines[0]}")


def write(entries: Iterable[ListedEntry]) -> str:
    """Entries as CSV with a header."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for entry in entries:
        writer.writerow([_cell(getattr(entry, name)) for name in COLUMNS])
    return out.getvalue()


def read(content: bytes, reason: str) -> list[Entry]:
    """The entries of a file; `reason` is for the lines that have none. Raises WrongLines, and UserError for what is no CSV."""
    try:
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        header = [name.strip().lower() for name in rows.fieldnames or ()]
        if missing := [name for name in NEEDED if name not in header]:
            names = " and ".join(missing)
            raise UserError(
                f"the first line names the columns, kind,value,reason,expires_at: {names} is not among them"
            )
        rows.fieldnames = header
        found = [(rows.line_num, row) for row in rows]
    except UnicodeDecodeError as error:
        raise UserError(f"the file is not UTF-8 (byte {error.start}): save it as CSV UTF-8") from None
    except csv.Error as error:
        raise UserError(f"the file is no CSV: {error}") from None
    return _entries(found, reason)


def _entries(rows: list[tuple[int, dict[str, str | None]]], reason: str) -> list[Entry]:
    entries: dict[tuple[str, str], Entry] = {}
    wrong: list[str] = []
    for line, row in rows:
        try:
            entry = _entry(row, reason)
            if (entry.kind, entry.value) in entries:
                raise UserError(f"{entry.kind} {entry.value} is in the file twice")
            entries[entry.kind, entry.value] = entry
        except UserError as error:
            wrong.append(f"line {line}: {error}")
    if wrong:
        raise WrongLines(wrong[:MOST_SHOWN], len(wrong))
    if not entries:
        raise UserError("the file has no entry below its first line")
    return list(entries.values())


def _entry(row: dict[str, str | None], reason: str) -> Entry:
    if None in row:
        raise UserError("there are more fields than columns")
    text = {name: _clear((row.get(name) or "").strip()) for name in COLUMNS}
    kind, value = text["kind"], text["value"]
    if kind not in {known.value for known in Kind}:
        raise UserError(f"{kind or 'an empty field'} is no kind: {', '.join(known.value for known in Kind)}")
    if not value:
        raise UserError(f"which {kind} is missing")
    if len(value) > LONGEST or "\x00" in value or "\x00" in text["reason"]:
        raise UserError(f"a value has at most {LONGEST} characters, and no NUL")
    return Entry(kind, value, (text["reason"] or reason)[:LONGEST], end_of(text["expires_at"]))


def end_of(given: str) -> datetime | None:
    """When an entry ends; None for an empty text. Raises UserError."""
    if not given:
        return None
    try:
        found = datetime.fromisoformat(given.replace("Z", "+00:00"))
    except ValueError:
        raise UserError(f"{given} is no time such as 2026-12-31 or 2026-12-31T18:00") from None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _cell(value: object) -> str:
    shown = value.isoformat() if isinstance(value, datetime) else "" if value is None else str(value)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def _clear(shown: str) -> str:
    return shown[1:] if shown.startswith("'") and shown[1:].startswith(_FORMULA) else shown
