"""Rows as typed objects, by the names of their columns: the one place where a row becomes something else."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from psycopg2.extras import execute_values
from sqlalchemy import Connection, TextClause

T = TypeVar("T")


def columns_of(kind: type[Any], prefix: str = "") -> str:
    """The fields of a dataclass as a list of columns, such as `t.amount, t.currency` with the prefix `t.`."""
    return ", ".join(prefix + field.name for field in dataclasses.fields(kind))


def fetch(cursor: Any, kind: type[T]) -> list[T]:
    """What a psycopg2 cursor has found, a `kind(column=value, ...)` for each row. Raises TypeError where the columns are
    not the fields of `kind`."""
    names = [column.name for column in cursor.description]
    return [kind(**dict(zip(names, row, strict=True))) for row in cursor.fetchall()]


def fetch_values(cursor: Any, kind: type[T], statement: str, rows: Sequence[Sequence[Any]]) -> list[T]:
    """Run a statement over `VALUES %s` once, whatever the number of rows, and fetch what it returns."""
    execute_values(cursor, statement, rows, page_size=max(1, len(rows)))
    return fetch(cursor, kind)


def select_as(
    connection: Connection, kind: type[T], statement: TextClause, parameters: Mapping[str, Any] | None = None
) -> list[T]:
    """The rows of a statement of SQLAlchemy, a `kind(column=value, ...)` for each."""
    return [kind(**row) for row in connection.execute(statement, parameters or {}).mappings()]
