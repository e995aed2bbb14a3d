"""What a mapping needs of a file: its columns, a sample of its rows, and how to get a column's value out of a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

from streamguard.ingest.files.source import Row, dotted_names, member_of


class Rows(Protocol):
    """A file or a topic as rows; `files.Source` is one."""

    @property
    def name(self) -> str: ...
    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def sample(self) -> list[Any]: ...

    def getter(self, column: str) -> Callable[[Any], Any]:
        """What takes a column's value out of a row; raises KeyError."""


@dataclass(frozen=True)
class _Objects:
    name: str
    columns: tuple[str, ...]
    sample: list[Any]

    def getter(self, column: str) -> Callable[[Any], Any]:
        by_case = {name.strip().lower(): name for name in self.columns}
        name = column if column in self.columns else by_case[column.strip().lower()]
        return lambda values: member_of(values, name)


def all_values(rows: Rows, raw: Callable[[Any], Any]) -> Iterator[Any]:
    """A column's values of the whole file, where it can be read once more; for what the sample leaves open."""
    again = getattr(rows, "again", None)
    if again is None:
        return
    with closing(again()) as source:
        for row in source.rows():
            if isinstance(row, Row):
                yield raw(row.values)


def one_row(values: dict[str, Any]) -> Rows:
    """A single JSON object as rows."""
    return _Objects("the record", dotted_names([values]), [Row(1, values)])
