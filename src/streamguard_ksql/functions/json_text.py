"""JSON texts read without loss and written as Jackson writes them.

Numbers with a point or an exponent are kept as decimals (`1.23450` stays as it is), keys keep their order, and what
follows the first complete value is left unread, as ksqlDB does.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from streamguard_ksql.datetimes import date_to_string, time_to_string, timestamp_to_string
from streamguard_ksql.errors import EvaluationError
from streamguard_ksql.java import decimal_to_string, double_to_string
from streamguard_ksql.types import Array, Map, SqlType, Struct


class NotJson(EvaluationError):
    """The text is no JSON value."""


def _no_constant(word: str) -> Any:
    raise ValueError(word)


_BLANK = " \t\r\n"
_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant)


def read(text: str) -> Any:
    """The first JSON value of a text; NotJson if there is none (an empty text has none)."""
    start = text.lstrip(_BLANK)
    try:
        value, end = _DECODER.raw_decode(start)
    except (ValueError, RecursionError):
        raise NotJson(f"Invalid JSON format: {text[:200]}") from None
    if not _ends(start[end : end + 1], value):
        raise NotJson(f"Invalid JSON format: {text[:200]}")
    return value


def _ends(behind: str, value: Any) -> bool:
    """Whether a value ends before a character: a number does where there is a blank, a word where it does not go on."""
    if not behind or isinstance(value, str | list | dict):
        return True
    if value is None or isinstance(value, bool):
        return not (behind.isalnum() or behind in "_$")
    return behind in _BLANK


def quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def write(value: Any) -> str:
    """Compact JSON of what `read` gives."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, list):
        return f"[{','.join(map(write, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{quote(key)}:{write(item)}" for key, item in value.items()) + "}"
    return str(value)


_WRITERS: dict[str, Callable[[Any], str]] = {
    "BOOLEAN": lambda value: "true" if value else "false",
    "INTEGER": str,
    "BIGINT": str,
    "DECIMAL": decimal_to_string,
    "STRING": quote,
    "BYTES": lambda value: f'"{base64.b64encode(value).decode("ascii")}"',
    "DATE": lambda value: f'"{date_to_string(value)}"',
    "TIME": lambda value: f'"{time_to_string(value)}"',
    "TIMESTAMP": lambda value: f'"{timestamp_to_string(value)}"',
}


def _double(value: float) -> str:
    text = double_to_string(value)
    return text if text[-1].isdigit() else f'"{text}"'


def writer(sql_type: SqlType | None) -> Callable[[Any], str]:
    """The function that writes a SQL value of this type as JSON; NULL is `null`."""
    render = _writer(sql_type) if sql_type is not None else write
    return lambda value: "null" if value is None else render(value)


def _key(key: Any) -> str:
    return quote("null" if key is None else str(key))


def _writer(sql_type: SqlType) -> Callable[[Any], str]:
    if isinstance(sql_type, Array):
        item = writer(sql_type.item)
        return lambda value: f"[{','.join(map(item, value))}]"
    if isinstance(sql_type, Map):
        entry = writer(sql_type.value)
        return lambda value: "{" + ",".join(f"{_key(k)}:{entry(v)}" for k, v in value.items()) + "}"
    if isinstance(sql_type, Struct):
        fields = [(name, quote(name), writer(field)) for name, field in sql_type.fields]
        return lambda value: "{" + ",".join(f"{key}:{render(value.get(name))}" for name, key, render in fields) + "}"
    return _double if sql_type.base == "DOUBLE" else _WRITERS[sql_type.base]
