"""Values and types as ksqlDB prints them: CAST(... AS STRING), and the types in its messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamguard_ksql.datetimes import date_to_string, time_to_string, timestamp_to_string
from streamguard_ksql.java import boolean_to_string, decimal_to_string, double_to_string
from streamguard_ksql.types import Array, Map, SqlType, Struct

_PRIMITIVES: dict[str, Callable[[Any], str]] = {
    "BOOLEAN": boolean_to_string,
    "INTEGER": str,
    "BIGINT": str,
    "DOUBLE": double_to_string,
    "DECIMAL": decimal_to_string,
    "STRING": str,
    "BYTES": lambda value: f"java.nio.HeapByteBuffer[pos=0 lim={len(value)} cap={len(value)}]",
    "DATE": date_to_string,
    "TIME": time_to_string,
    "TIMESTAMP": timestamp_to_string,
}


def renderer(sql_type: SqlType) -> Callable[[Any], str]:
    """The function that gives the text of a value of this type; NULL is `null`.

    `[1, 2]` for arrays, `{a=1, b=2}` for maps, `Struct{A=1,B=2}` for structs (fields that are NULL are left out): the
    text forms of Java's collections and of Kafka Connect's Struct.
    """
    render = _renderer(sql_type)
    return lambda value: "null" if value is None else render(value)


def _renderer(sql_type: SqlType) -> Callable[[Any], str]:
    if isinstance(sql_type, Array):
        item = renderer(sql_type.item)
        return lambda value: f"[{', '.join(map(item, value))}]"
    if isinstance(sql_type, Map):
        key, item = renderer(sql_type.key), renderer(sql_type.value)
        return lambda value: "{" + ", ".join(f"{key(k)}={item(v)}" for k, v in value.items()) + "}"
    if isinstance(sql_type, Struct):
        fields = [(name, renderer(field)) for name, field in sql_type.fields]
        return lambda value: _struct(value, fields)
    return _PRIMITIVES[sql_type.base]


def _struct(value: dict[str, Any], fields: list[tuple[str, Callable[[Any], str]]]) -> str:
    present = ((name, render(value[name])) for name, render in fields if value.get(name) is not None)
    return "Struct{" + ",".join(f"{name}={text}" for name, text in present) + "}"


def type_text(sql_type: SqlType | None) -> str:
    """A type as in ksqlDB's messages: as its SQL text, but with all field names in backticks."""
    if sql_type is None:
        return "null"
    if isinstance(sql_type, Array):
        return f"ARRAY<{type_text(sql_type.item)}>"
    if isinstance(sql_type, Map):
        return f"MAP<{type_text(sql_type.key)}, {type_text(sql_type.value)}>"
    if isinstance(sql_type, Struct):
        return f"STRUCT<{', '.join(f'`{name}` {type_text(field)}' for name, field in sql_type.fields)}>"
    return str(sql_type)
