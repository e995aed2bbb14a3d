"""The key that GROUP BY gives a row."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from streamguard_ksql.errors import ROW_ERRORS
from streamguard_ksql.operators.base import Runtime, Skip
from streamguard_ksql.operators.keys import inner_key
from streamguard_ksql.operators.stateless import RowFunction
from streamguard_ksql.plan import AggregateNode
from streamguard_ksql.types import SqlType

Row = Sequence[Any]


class Grouping:
    """The key that rows are grouped by: a tuple, or None for a row that belongs to no group (a NULL in its key).

    `identity(key)` is the key in a form that can be hashed; `bytes_of(key)` orders keys as Kafka Streams' stores do.
    """

    def __init__(self, node: AggregateNode, runtime: Runtime) -> None:
        self.by_column = RowFunction(node.keys, node.source, runtime, "GroupBy")
        self.fast = self.by_column.fast_tuple
        self.runtime = runtime
        self.bytes_of = inner_key(node.schema.key)
        self.is_nested = any(_is_nested(c.type) for c in node.schema.key)
        self.identity: Callable[[tuple[Any, ...]], Any] = _frozen if self.is_nested else _same

    def key(self, row: Row | None) -> tuple[Any, ...] | None:
        if row is None:
            return None
        try:
            key = self.fast(row)
        except ROW_ERRORS:
            key = tuple(self.by_column(row))
        if None in key:
            self.runtime.row_error(
                "GroupBy", "Group-by column with index 0 resolved to null. The record is left out.", row, Skip.NULL_KEY
            )
            return None
        return key


def _is_nested(sql_type: SqlType) -> bool:
    return sql_type.base in ("ARRAY", "MAP", "STRUCT")


def _same(key: tuple[Any, ...]) -> Any:
    return key


def _frozen(key: tuple[Any, ...]) -> Any:
    """A nested key as text that is equal for equal values."""
    return json.dumps(key, sort_keys=True, default=str)
