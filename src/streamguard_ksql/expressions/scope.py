"""What the names in an expression mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streamguard_ksql.ast import ColumnRef
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.schema import Column
from streamguard_ksql.types import SqlType


@dataclass(frozen=True)
class Scope:
    """The columns of a row, by their position in it, and the settings that functions may ask for.

    `columns[i]` is found at `row[i]` of the row that the compiled expression is given.
    """

    columns: tuple[Column, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    row: str = "v"

    def column(self, ref: ColumnRef) -> tuple[str, SqlType]:
        """The code that fetches a column and its type; KsqlError if there is none of that name."""
        for i, column in enumerate(self.columns):
            if column.name == ref.name:
                return f"{self.row}[{i}]", column.type
        raise KsqlError(f"Unknown column {ref.name}")


@dataclass(frozen=True)
class ColumnTexts(Scope):
    """A scope whose columns are found by other code than their position in a row."""

    texts: tuple[str, ...] = ()

    def column(self, ref: ColumnRef) -> tuple[str, SqlType]:
        index = next((i for i, c in enumerate(self.columns) if c.name == ref.name), None)
        if index is None:
            return super().column(ref)
        return self.texts[index], self.columns[index].type
