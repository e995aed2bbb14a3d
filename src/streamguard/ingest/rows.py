"""What a mapping needs of a file: its columns, a sample of its rows, and how to get a column's value out of a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from streamguard.ingest.files.source import Row, dotted_names, member_of


class SampledRow(Protocol):
    """A row and where it stands."""

    @property
    def line(self) -> int: ...
    @property
    def values(self) -> Any: ...


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


def one_row(values: dict[str, Any]) -> Rows:
    """A single JSON object as rows."""
    return _Objects("the record", dotted_names([values]), [Row(1, values)])
