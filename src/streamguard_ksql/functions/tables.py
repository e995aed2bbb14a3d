"""Table functions: one row in, any number of rows out."""

from __future__ import annotations

from itertools import product
from typing import Any

from streamguard_ksql.functions.registry import table_function
from streamguard_ksql.functions.sizes import check_array


@table_function(
    "EXPLODE",
    "(input ARRAY<DECIMAL>) -> DECIMAL",
    "(list ARRAY<T>) -> T",
    description="A row for each element of an array.",
)
def explode(array: list[Any] | None) -> list[Any]:
    return array or []


@table_function(
    "CUBE_EXPLODE",
    "(columns ARRAY<T>) -> ARRAY<T>",
    description="A row for each way to replace elements of an array by NULL.",
)
def cube(columns: list[Any] | None) -> list[list[Any]]:
    """From all replaced to none; an element that is NULL already has one way only."""
    if not columns:
        return []
    check_array("CUBE_EXPLODE", 2 ** len([column for column in columns if column is not None]))
    choices = [(None,) if column is None else (None, column) for column in columns]
    return [list(row) for row in product(*choices)]
