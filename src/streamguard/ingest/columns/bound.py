"""A field of a mapping bound to the columns of a file: from a row to a value, alternative by alternative."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from streamguard.ingest.expressions import Alternative, Column, Expression, Literal, RowId
from streamguard.ingest.ids import RowIds
from streamguard.ingest.rows import Rows
from streamguard.models.readings import (
    parse_time,
)
from streamguard.models.readings.amounts import Separator
from streamguard.models.readings.times import zone_of

Read = Callable[[Any], Any]
EMPTY = frozenset(("", "nan", "null", "none", "n/a", "<na>", "nat"))


@dataclass(frozen=True)
class Options:
    """What the command line says about all columns. `origin` is the day that spans count from, `unit` what they count;
    `rounds` lets amounts with more decimals than their currency has be rounded, half to even."""

    unit: str | None = None
    zone: str | None = None
    day_first: bool | None = None
    decimal: Separator | None = None
    currency: str | None = None
    origin: str | None = None
    rounds: bool = False


@dataclass(frozen=True)
class Bound:
    """A field's reader: `read` takes the values of a row and raises ValueError; None is an empty value."""

    read: Read
    columns: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    names_currency: bool = False
    shown: str = ""
    """The expression without what the file has no column for."""


def alternatives(
    name: str,
    expression: Expression,
    rows: Rows,
    reader: Callable[[Alternative, Read], Read],
    is_empty: Callable[[Any], bool] = lambda value: value is None,
) -> Bound | None:
    """The first alternative of each row that is there and not empty; None if the file has none of the columns."""
    reads, columns, there = [], [], []
    for one in expression.alternatives:
        names = [column_named(rows, term.name) for term in one.terms if isinstance(term, Column)]
        if None in names or (one.at and len(expression.alternatives) > 1 and not _is_place(one.at, rows)):
            continue
        raw = raw_of(one, rows)
        there.append(one)
        reads.append((reader(one, raw), raw))
        columns += [found for found in names if found is not None]
    if not reads:
        return None
    if len(reads) == 1:
        return Bound(reads[0][0], tuple(columns), shown=str(there[0]))

    def first(values: Any) -> Any:
        for read, raw in reads[:-1]:
            if not is_blank(raw(values)) and not is_empty(value := read(values)) and value != "":
                return value
        return reads[-1][0](values)

    return Bound(first, tuple(columns), shown=str(Expression(tuple(there))))


def _is_place(at: str, rows: Rows) -> bool:
    """Whether `at` is a zone, a day, or a column of the file."""
    for read in (zone_of, parse_time):
        with suppress(ValueError):
            read(at)
            return True
    return column_named(rows, at) is not None


def column_named(rows: Rows, name: str) -> str | None:
    """The file's own name of a column, None if it has none like it."""
    if name in rows.columns:
        return name
    wanted = name.strip().lower()
    return next((column for column in rows.columns if column.strip().lower() == wanted), None)


def missing_columns(expression: Expression, rows: Rows) -> str | None:
    """A sentence's end about columns that are not there: each with the nearest name; None if one alternative is whole."""
    for one in expression.alternatives:
        if all(column_named(rows, term.name) for term in one.terms if isinstance(term, Column)):
            return None
    said = []
    for name in expression.columns:
        if column_named(rows, name) is None:
            near = get_close_matches(name.lower(), [column.lower() for column in rows.columns], 1)
            said.append(f"{name!r} (perhaps {near[0]!r}?)" if near else repr(name))
    return ", ".join(said)


def raw_of(one: Alternative, rows: Rows) -> Read:
    """From a row to the value of an alternative, as it is written."""
    parts: list[Read] = []
    for term in one.terms:
        if isinstance(term, Literal):
            parts.append(_constant(term.text))
        elif isinstance(term, RowId):
            parts.append(RowIds())
        else:
            parts.append(rows.getter(column_named(rows, term.name) or term.name))
    if len(parts) == 1:
        return parts[0]
    at = [n for n, term in enumerate(one.terms) if not isinstance(term, Literal)]

    def joined(values: Any) -> Any:
        texts = [part(values) for part in parts]
        for n in at:
            texts[n] = text_of(texts[n]) or ""
        return "".join(texts).strip() if any(texts[n] for n in at) else None

    return joined


def _constant(text: str) -> Read:
    return lambda _: text


def text_of(value: Any) -> str | None:
    """A value as text: whole numbers without `.0`, which a column with gaps gets from pandas; None for an empty one."""
    if type(value) is str:
        return value.strip() or None
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, list | dict):
        raise ValueError(
            f"a text or a number is expected, {value!r} is {'an array' if isinstance(value, list) else 'an object'}"
        )
    return str(value)


def is_blank(value: Any) -> bool:
    return value is None or (type(value) is str and not value.strip())


def is_nothing(value: Any) -> bool:
    """Whether an amount's column is empty or 0, as in statements with a column for each direction."""
    return is_blank(value) or not str(value).strip("0., -")
