"""SELECT and PRINT in the shell: rows drawn as they come, until the end, the limit, or Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from streamguard_ksql.shell.client import ShellError, parse_line
from streamguard_ksql.shell.render import cell
from streamguard_ksql.shell.tables import RowTable
from streamguard_ksql.visible import one_line

Write = Callable[[str], None]


def show_rows(
    lines: Iterable[str],
    write: Write,
    width: int | None,
    *,
    as_json: bool,
    limit: int | None = None,
    timeout_s: float | None = None,
) -> None:
    """Draw the answer of a SELECT. ShellError if the query fails on its way."""
    table: RowTable | None = None
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    shown = 0
    for line in lines:
        parsed = parse_line(line)
        if parsed is None:
            continue
        text, entry = parsed
        if "header" in entry:
            table = RowTable([*map(one_line, column_names(str(entry["header"].get("schema", ""))))], width)
        if as_json and not entry.get("errorMessage"):
            write(text)
        else:
            _show_entry(entry, table, write)
        shown += 1 if entry.get("row") else 0
        if (limit is not None and shown >= limit) or (deadline is not None and time.monotonic() >= deadline):
            return


def _show_entry(entry: dict[str, Any], table: RowTable | None, write: Write) -> None:
    if entry.get("errorMessage"):
        raise ShellError(_error_text(entry["errorMessage"]))
    if "header" in entry and table is not None:
        _write_all(table.head(), write)
    elif entry.get("row"):
        row = entry["row"]
        values = row.get("columns")
        if table is not None and values is not None:
            _write_all(table.row(["<TOMBSTONE>" if row.get("tombstone") else one_line(cell(v)) for v in values]), write)
    elif entry.get("finalMessage"):
        write(one_line(str(entry["finalMessage"])))


def _write_all(lines: Sequence[str], write: Write) -> None:
    for line in lines:
        write(line)


def _error_text(error: Any) -> str:
    return str(error.get("message", error)) if isinstance(error, dict) else str(error)


def show_lines(lines: Iterable[str], write: Write, limit: int | None = None) -> None:
    """The answer of a PRINT, which is text already."""
    for shown, line in enumerate(lines, start=1):
        write(one_line(line))
        if limit is not None and shown >= limit:
            return


def column_names(schema: str) -> list[str]:
    """The names of the columns in a header's schema: ``\\`A\\` STRING KEY, \\`B\\` STRUCT<\\`C\\` INT>``."""
    names = []
    depth, start, i = 0, 0, 0
    while i <= len(schema):
        character = schema[i] if i < len(schema) else ","
        if character == "`" and depth == 0:
            end = schema.find("`", i + 1)
            i = len(schema) - 1 if end < 0 else end
        elif character in "<(":
            depth += 1
        elif character in ">)":
            depth -= 1
        elif character == "," and depth == 0:
            names.append(_name(schema[start:i].strip()))
            start = i + 1
        i += 1
    return [name for name in names if name]


def _name(column: str) -> str:
    if column.startswith("`"):
        return column[1 : column.find("`", 1)]
    return column.split(" ")[0]
