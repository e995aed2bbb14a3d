"""What a mapping needs of a file: its columns, a sample of its rows, and how to get a column's value out of a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


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
class _OneRow:
    line: int
    values: Any


@dataclass(frozen=True)
class _Objects:
    name: str
    columns: tuple[str, ...]
    sample: list[Any]

    def getter(self, column: str) -> Callable[[Any], Any]:
        by_case = {name.lower(): name for name in self.columns}
        name = column if column in self.columns else by_case[column.strip().lower()]
        path = name.split(".")

        def get(values: Any) -> Any:
            if name in values:
                return values[name]
            for part in path:
                values = values.get(part) if isinstance(values, dict) else None
            return values

        return get


def one_row(values: dict[str, Any]) -> Rows:
    """A single JSON object as rows."""
    return _Objects("the record", tuple(_names(values, "")), [_OneRow(1, values)])


def _names(values: dict[str, Any], before: str) -> list[str]:
    names = []
    for name, value in values.items():
        if isinstance(value, dict):
            names += _names(value, f"{before}{name}.")
        else:
            names.append(before + name)
    return names
