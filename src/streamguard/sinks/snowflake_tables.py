"""The tables in Snowflake: columns, made from the models of the records, statements, and the rows of a batch.

Rows go into a temporary table of texts and numbers first, many in one bound JSON array: one statement and one value to bind,
however many columns there are. The MERGE gives them their types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any

import orjson

from streamguard.models.columns import storable
from streamguard.models.fields import parts
from streamguard.models.records import BadRecord
from streamguard.sinks.base import SinkRecord
from streamguard.sinks.typed import REJECTED, TABLES, instant, is_fraud, other_fields, read, times_of, values

OFFSETS = "sink_offsets"
KEY = ("topic", "partition_no", "record_offset")
"""What a MERGE compares: a record is in its table once."""
_KEY_TYPES = dict(zip(KEY, ("VARCHAR", "NUMBER(10)", "NUMBER(19)"), strict=True))
_OFFSET_TYPES = {"topic": "VARCHAR", "partition_no": "NUMBER(10)", "next_offset": "NUMBER(19)"}
_NUMBERS = {"partition_no", "record_offset", "next_offset"}
"""Columns that a temporary table has as numbers; all others are texts there."""
_TYPES: dict[Any, str] = {Decimal: "NUMBER(19,4)", float: "FLOAT", int: "NUMBER(19)", str: "VARCHAR"}
_MOST_BYTES = 1_000_000
"""Of a statement with its bound values (https://docs.snowflake.com/en/user-guide/query-size-limits); one row may be larger."""

MERGE_OFFSETS = f"""
MERGE INTO {OFFSETS} AS t USING {OFFSETS}_batch AS s ON t.topic = s.topic AND t.partition_no = s.partition_no
WHEN MATCHED AND t.next_offset < s.next_offset THEN UPDATE SET next_offset = s.next_offset
WHEN NOT MATCHED THEN INSERT (topic, partition_no, next_offset) VALUES (s.topic, s.partition_no, s.next_offset)
"""


@cache
def columns(table: str) -> Mapping[str, str]:
    """The columns of a table with their types."""
    if table == OFFSETS:
        return _OFFSET_TYPES
    if table == REJECTED:
        return {**_KEY_TYPES, "record_time": "TIMESTAMP_TZ", "reason": "VARCHAR", "key": "BINARY", "value": "BINARY"}
    found = {name: _type(table, name) for name in TABLES[table].model_fields}
    more = {"is_fraud": "BOOLEAN"} if table == "transactions" else {}
    return {**_KEY_TYPES, "record_time": "TIMESTAMP_TZ", **found, **more, "other_fields": "VARIANT"}


def _type(table: str, name: str) -> str:
    if name in times_of(table):
        return "TIMESTAMP_TZ"
    kinds = parts(TABLES[table].model_fields[name].annotation)
    return next((sql for python, sql in _TYPES.items() if python in kinds and list not in kinds), "VARIANT")


def create(table: str) -> Iterator[str]:
    """The table, and the temporary one of its batches."""
    found = columns(table)
    yield f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(f'{name} {kind}' for name, kind in found.items())})"
    staged = ", ".join(f"{name} {_staged(name)}" for name in found)
    yield f"CREATE TEMPORARY TABLE IF NOT EXISTS {table}_batch ({staged})"


def add_column(table: str, name: str) -> str:
    """For a table of an earlier version."""
    return f"ALTER TABLE {table} ADD COLUMN {name} {columns(table)[name]}"


def insert(table: str) -> str:
    """Rows of the temporary table, from one of `arrays`."""
    found = columns(table)
    cells = ", ".join(f"value[{number}]::{_staged(name)}" for number, name in enumerate(found))
    return f"INSERT INTO {table}_batch ({', '.join(found)}) SELECT {cells} FROM TABLE(FLATTEN(INPUT => PARSE_JSON(?)))"


def arrays(rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """The rows as JSON arrays of arrays, none of them much above a megabyte."""
    lines: list[bytes] = []
    size = 0
    for line in map(orjson.dumps, rows):
        if lines and size + len(line) > _MOST_BYTES:
            yield f"[{b','.join(lines).decode()}]"
            lines, size = [], 0
        lines.append(line)
        size += len(line) + 1
    if lines:
        yield f"[{b','.join(lines).decode()}]"


def _staged(name: str) -> str:
    return "NUMBER(19)" if name in _NUMBERS else "VARCHAR"


def merge(table: str) -> str:
    """What of the temporary table is not in the table yet."""
    found = columns(table)
    typed = ", ".join(f"{_typed(name, kind)} AS {name}" for name, kind in found.items())
    same = " AND ".join(f"t.{name} = s.{name}" for name in KEY)
    return (
        f"MERGE INTO {table} AS t USING (SELECT {typed} FROM {table}_batch) AS s ON {same}"
        f" WHEN NOT MATCHED THEN INSERT ({', '.join(found)}) VALUES ({', '.join(f's.{name}' for name in found)})"
    )


def _typed(value: str, kind: str) -> str:
    if kind == "VARIANT":
        return f"PARSE_JSON({value})"
    if kind == "BINARY":
        return f"TO_BINARY({value}, 'HEX')"
    return value if kind == "VARCHAR" or value in KEY else f"CAST({value} AS {kind})"


def rows(tables: Mapping[str, str], records: Sequence[SinkRecord]) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of each temporary table. A record that is none of its topic's is rejected."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for record in records:
        table, fields = _fields(tables.get(record.topic, REJECTED), record)
        found.setdefault(table, []).append(tuple(_bound(fields.get(name)) for name in columns(table)))
    return found


def _fields(table: str, record: SinkRecord) -> tuple[str, dict[str, Any]]:
    place = dict(zip(KEY, (record.topic, record.partition, record.offset), strict=True))
    place["record_time"] = instant(max(0, record.timestamp))
    try:
        if table == REJECTED:
            raise BadRecord(f"the topic {record.topic} has no table")
        fields = values(table, read(table, record))
    except BadRecord as error:
        return REJECTED, {**place, "reason": str(error), "key": record.key, "value": record.value}
    if table == "transactions":
        fields["is_fraud"] = is_fraud(record)
    other = other_fields(table, record)
    return table, {**place, **fields, "other_fields": None if other is None else _variant(other)}


def _variant(text: str) -> str:
    """JSON that every parser takes: with half a pair of surrogates, or a NUL, it is a string of JSON that has the text."""
    try:
        orjson.loads(text)
        is_plain = "\\u0000" not in text
    except orjson.JSONDecodeError:
        is_plain = False
    return text if is_plain else orjson.dumps(text).decode()


def _bound(value: Any) -> Any:
    """A value as a text or a whole number."""
    if value is None or type(value) is int:
        return value
    if type(value) is str:
        # Such as the reason of a decision: no parser of JSON is sure to take a NUL.
        return storable(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return _variant(orjson.dumps(value).decode())
    if hasattr(value, "isoformat"):
        return value.isoformat(sep=" ", timespec="milliseconds")
    return str(value).lower() if isinstance(value, bool) else str(value)
