"""The values of a row as its query's own, for functions that change them as Java's do.

In ksqlDB an array, or a buffer of bytes, is one object for all columns of a row: ARRAY_SORT sorts it in place, CONCAT of
bytes reads a buffer to its end, and the other columns see that. Rows here are shared between queries and kept as state,
so a query with such a function works on a copy of each row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from streamguard_ksql import ast
from streamguard_ksql.schema import Column
from streamguard_ksql.transform import calls
from streamguard_ksql.types import BYTES, Array, Map, SqlType, Struct

CHANGES_ARRAYS = frozenset({"ARRAY_SORT"})
READS_BUFFERS = frozenset({"CONCAT", "CONCAT_WS"})
Copy = Callable[[Any], Any]


class Buffer(bytes):
    """Bytes of a column, and whether they have been read to their end."""

    was_read = False


def row_copier(
    columns: Sequence[Column], expressions: Sequence[ast.Expression]
) -> Callable[[Sequence[Any]], list[Any]] | None:
    """What makes a row the query's own; None where no expression changes anything."""
    names = {call.name for expression in expressions for call in calls(expression)}
    arrays, buffers = bool(names & CHANGES_ARRAYS), bool(names & READS_BUFFERS)
    copies = {
        i: copy for i, column in enumerate(columns) if (copy := _copier(column.type, arrays, buffers)) is not None
    }
    if not copies:
        return None

    def own(row: Sequence[Any]) -> list[Any]:
        values = list(row)
        for i, copy in copies.items():
            if values[i] is not None:
                values[i] = copy(values[i])
        return values

    return own


def _copier(sql_type: SqlType, arrays: bool, buffers: bool) -> Copy | None:
    if buffers and sql_type == BYTES:
        return Buffer
    return _deep(sql_type) if arrays else None


def _deep(sql_type: SqlType) -> Copy | None:
    """A copy of what has arrays in it; None for types that have none."""
    if isinstance(sql_type, Array):
        item = _deep(sql_type.item)
        return list if item is None else lambda value: [v if v is None else item(v) for v in value]
    if isinstance(sql_type, Map):
        entry = _deep(sql_type.value)
        return entry and (lambda value: {k: v if v is None else entry(v) for k, v in value.items()})
    if isinstance(sql_type, Struct):
        fields = {name: copy for name, t in sql_type.fields if (copy := _deep(t)) is not None}
        if fields:
            return lambda value: {k: fields[k](v) if k in fields and v is not None else v for k, v in value.items()}
    return None


def joined(separator: bytes, values: Sequence[bytes]) -> bytes:
    """The bytes in a row; those of a buffer that was read are missing, and as many zeros are behind the others."""
    if not any(isinstance(value, Buffer) for value in values):
        return separator.join(values)
    size = sum(map(len, values)) + len(separator) * max(0, len(values) - 1)
    parts: list[bytes] = []
    for i, value in enumerate(values):
        parts += [separator] * (i > 0) + [_read(value)]
    return b"".join(parts).ljust(size, b"\0")


def _read(value: bytes) -> bytes:
    if not isinstance(value, Buffer):
        return value
    found = b"" if value.was_read else bytes(value)
    value.was_read = True
    return found
