"""Columns and schemas: what a row of a source, a step or a topic is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from streamguard_ksql.errors import KsqlError
from streamguard_ksql.types import Array, Decimal, Map, SqlType, Struct

ROWTIME, ROWPARTITION, ROWOFFSET = "ROWTIME", "ROWPARTITION", "ROWOFFSET"
WINDOWSTART, WINDOWEND = "WINDOWSTART", "WINDOWEND"
SYSTEM_COLUMNS = (ROWTIME, ROWPARTITION, ROWOFFSET, WINDOWSTART, WINDOWEND)
HEADERS_TYPE_TEXT = "ARRAY<STRUCT<KEY STRING, VALUE BYTES>>"


@dataclass(frozen=True)
class Column:
    """A column; `header` is None, "" for all headers of the record, or the one header's key."""

    name: str
    type: SqlType
    header: str | None = None


@dataclass(frozen=True)
class Schema:
    """Key columns and value columns, in order; columns fed by record headers are among the value columns."""

    key: tuple[Column, ...]
    value: tuple[Column, ...]

    def __iter__(self) -> Iterator[Column]:
        yield from self.key
        yield from self.value

    def find(self, name: str) -> Column | None:
        """The column of exactly this name, or None."""
        return next((c for c in self if c.name == name), None)

    @property
    def headers(self) -> tuple[Column, ...]:
        return tuple(c for c in self.value if c.header is not None)

    @property
    def stored(self) -> tuple[Column, ...]:
        """The value columns that are in the record's value: all but those fed by headers."""
        return tuple(c for c in self.value if c.header is None)

    def __str__(self) -> str:
        parts = [f"`{c.name}` {c.type} KEY" for c in self.key]
        parts += [f"`{c.name}` {c.type}" + _header_suffix(c) for c in self.value]
        return ", ".join(parts)


def _header_suffix(column: Column) -> str:
    if column.header is None:
        return ""
    return " HEADERS" if column.header == "" else f" HEADER('{column.header}')"


def columns_text(columns: Iterable[Column], *, key: bool) -> str:
    """Columns as ksqlDB's messages list them: `[`ID` INTEGER KEY, ...]`."""
    return "[" + ", ".join(f"`{c.name}` {quoted_type(c.type)}{' KEY' if key else ''}" for c in columns) + "]"


def quoted_type(sql_type: SqlType) -> str:
    """A type with every field name in backticks, as ksqlDB's messages print it."""
    if isinstance(sql_type, Struct):
        return f"STRUCT<{', '.join(f'`{n}` {quoted_type(t)}' for n, t in sql_type.fields)}>"
    if isinstance(sql_type, Array):
        return f"ARRAY<{quoted_type(sql_type.item)}>"
    if isinstance(sql_type, Map):
        return f"MAP<{quoted_type(sql_type.key)}, {quoted_type(sql_type.value)}>"
    return str(sql_type)


def refuse_impossible(sql_type: SqlType) -> None:
    """Refuse a DECIMAL whose digits do not add up, and a STRUCT that has a name twice."""
    if isinstance(sql_type, Decimal):
        shown = f"DECIMAL({sql_type.precision},{sql_type.scale})"
        if sql_type.precision < 1:
            raise KsqlError(f"DECIMAL precision must be >= 1: {shown}")
        if sql_type.precision < sql_type.scale:
            raise KsqlError(f"DECIMAL precision must be >= scale: {shown}")
    if isinstance(sql_type, Struct) and sql_type.repeated is not None:
        name, first, second = sql_type.repeated
        raise KsqlError(
            f"Duplicate field names found in STRUCT: '`{name}` {quoted_type(first)}' and '`{name}` {quoted_type(second)}'"
        )


def refuse_map_key(column: Column) -> None:
    """Refuse a key column that is, or contains, a MAP: equal maps may have different bytes."""
    if _contains_map(column.type):
        raise KsqlError(
            "Map keys, including types that contain maps, are not supported as they may lead to unexpected behavior "
            f"due to inconsistent serialization. Key column name: `{column.name}`. Column type: "
            f"{quoted_type(column.type)}. See https://github.com/confluentinc/ksql/issues/6621 for more."
        )


def _contains_map(sql_type: SqlType) -> bool:
    match sql_type:
        case Map():
            return True
        case Array(item=item):
            return _contains_map(item)
        case Struct(fields=fields):
            return any(_contains_map(t) for _, t in fields)
        case _:
            return False
