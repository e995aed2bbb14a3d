"""A file as rows, whatever its format: what every reader returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain, islice
from operator import itemgetter
from typing import Any, NamedTuple

from streamguard.ingest.files.errors import DAMAGE, InputError, damaged

SAMPLE = 1_000
"""Lines that are read before anything is decided."""

REASON_COLUMN = "refused_because"
"""The column that a file of refused rows has more than its source; no column of a source."""


class Row(NamedTuple):
    """One row. `line` counts from 1 (Parquet: the row's number); `values` is a list as long as the columns (CSV) or a dict."""

    line: int
    values: Any


class Unreadable(NamedTuple):
    """A line that is no row: its text, what cannot be decoded as `\\xNN`, and why."""

    line: int
    text: str
    reason: str


@dataclass
class Source:
    """An open file. `rows` reads it once, in constant memory but for JSON documents, arrays and OFX (`jsons.LIMIT_BYTES`)."""

    name: str
    """The file's name without its folder, or "standard input"."""
    kind: str
    """csv, jsonl, json, parquet or ofx."""
    found: tuple[str, ...]
    """What was found out, for a person: ("CSV", "separated by ';'", "windows-1252", "gzip", "header in line 7")."""
    columns: tuple[str, ...]
    """CSV: as the header has them, unnamed and repeated ones numbered; JSON and Parquet: with dots for what is nested."""
    total_bytes: int | None
    """The size of the file as it is stored; None where it is not known."""
    bytes_read: Callable[[], int]
    """How many of them have been read so far."""
    stream: Iterator[Row | Unreadable]
    """What `rows` yields, the sample not taken yet."""
    separator: str = ","
    """Between the cells of a CSV."""
    quote: str = '"'
    """Around a cell of it that has separators."""
    sample: list[Row] = field(default_factory=list)
    """The rows of the first 1,000 lines."""
    opened: ExitStack = field(default_factory=ExitStack)
    """Closes the file; at the end of `rows` that is done."""
    again: Callable[[], Source] | None = None
    """Opens the same file once more; None for standard input."""

    def __post_init__(self) -> None:
        """Take the sample; raises InputError where there is no row in it."""
        head = list(islice(self.stream, SAMPLE))
        self.sample = [item for item in head if isinstance(item, Row)]
        if not self.sample:
            raise InputError(_no_rows(self.name, head))
        if not self.columns:
            self.columns = dotted_names(row.values for row in self.sample)
        if not self.columns:
            raise InputError(f"{self.name} has objects without members: there is no payment in them")
        self.stream = chain(head, self.stream)

    def rows(self) -> Iterator[Row | Unreadable]:
        """Every row and every unreadable line, in the order of the file, once. Raises InputError where a file is damaged."""
        stream, self.stream = self.stream, iter(())
        item: Row | Unreadable | None = None
        try:
            for item in stream:
                yield item
        except DAMAGE as error:
            raise InputError(damaged(self.name, error, item.line if item else 0)) from None
        finally:
            self.close()

    def close(self) -> None:
        """Close the file, for one whose rows are not wanted to their end."""
        self.opened.close()

    def getter(self, column: str) -> Callable[[Any], Any]:
        """A function of `Row.values` that returns the value of a column, None where the row has none.

        The name is matched exactly, else without regard to letter case and spaces around it; raises KeyError for a name
        that no column has, or that several have.
        """
        name = self._named(column)
        if self.kind == "csv":
            return itemgetter(self.columns.index(name))
        if "." not in name:
            return lambda values: values.get(name)
        return lambda values: member_of(values, name)

    def _named(self, column: str) -> str:
        if column in self.columns:
            return column
        matching = [name for name in self.columns if name.strip().lower() == column.strip().lower()]
        if len(matching) != 1:
            raise KeyError(column)
        return matching[0]


def dotted_names(rows: Iterable[dict[str, Any]]) -> tuple[str, ...]:
    """The names of the members of objects, "payload.after.amount" for nested ones, in the order in which they appear."""
    names: dict[str, None] = {}
    for values in rows:
        _add_names(values, "", names)
    names.pop(REASON_COLUMN, None)
    return tuple(names)


def _add_names(values: dict[str, Any], prefix: str, names: dict[str, None]) -> None:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            _add_names(value, f"{prefix}{name}.", names)
        else:
            names[prefix + name] = None


def member_of(values: Any, name: str) -> Any:
    """The member `a.b.c` of an object; a member whose own name has dots is found too."""
    while isinstance(values, dict):
        if name in values:
            return values[name]
        first, dot, rest = name.partition(".")
        if not dot or first not in values:
            return None
        values, name = values[first], rest
    return None


def _no_rows(name: str, head: list[Row | Unreadable]) -> str:
    for item in head:
        if isinstance(item, Unreadable):
            return f"{name} has no line that can be read as a row: line {item.line}: {item.reason}"
    return f"{name} holds no rows, only what precedes them: nothing can be imported from it"
