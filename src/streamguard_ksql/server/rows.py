"""Rows of queries as JSON: numbers in Java's digits, BYTES in base64, dates and times as ISO text.

Source: docs/developer-guide/ksqldb-rest-api/query-endpoint.md and docs/reference/sql/data-types.md of the manual.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from streamguard_ksql.datetimes import date_to_string, time_to_string, timestamp_to_string
from streamguard_ksql.formats.json import text_of_key, text_of_string, writer
from streamguard_ksql.schema import Column
from streamguard_ksql.types import Array, Map, SqlType, Struct

Text = Callable[[Any], str]

_MOMENTS: dict[str, Callable[[int], str]] = {
    "DATE": date_to_string,
    "TIME": time_to_string,
    "TIMESTAMP": timestamp_to_string,
}


def value_text(sql_type: SqlType) -> Text:
    """The function that gives the JSON text of a value, null included."""
    match sql_type:
        case Array(item):
            item_text = value_text(item)
            return _nullable(lambda value: "[" + ",".join(map(item_text, value)) + "]")
        case Map(_, member):
            member_text = value_text(member)
            return _nullable(
                lambda value: "{" + ",".join(f"{text_of_key(k)}:{member_text(v)}" for k, v in value.items()) + "}"
            )
        case Struct(fields):
            parts = [(text_of_string(name) + ":", name, value_text(field_type)) for name, field_type in fields]
            return _nullable(
                lambda value: "{" + ",".join(label + text(value.get(name)) for label, name, text in parts) + "}"
            )
    moment = _MOMENTS.get(sql_type.base)
    if moment is not None:
        return _nullable(lambda value: f'"{moment(value)}"')
    return _nullable(writer(sql_type))


def _nullable(text: Text) -> Text:
    return lambda value: "null" if value is None else text(value)


def row_text(columns: Sequence[Column]) -> Callable[[Sequence[Any]], str]:
    """The function that gives the JSON array of a row's values."""
    texts = [value_text(c.type) for c in columns]
    return lambda row: "[" + ",".join([text(value) for text, value in zip(texts, row, strict=True)]) + "]"
