"""Records as documents of MongoDB: decimals, dates, and nested fields where its format has a place for them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from streamguard.config.extras import need
from streamguard.sinks.base import SinkRecord
from streamguard.sinks.typed import instant, is_fraud, other_fields, read, values

_DEEPEST = 50
"""MongoDB takes 100 levels (https://www.mongodb.com/docs/manual/reference/limits/)."""


def document(table: str, record: SinkRecord) -> dict[str, Any]:
    """A valid record. Amounts are Decimal128, instants dates; fields that the model does not know are in `other`.

    Raises BadRecord.
    """
    decimal128 = need("mongodb", "bson.decimal128").Decimal128
    fields = values(table, read(table, record))
    for name, value in fields.items():
        if isinstance(value, Decimal):
            fields[name] = decimal128(value)
        elif isinstance(value, list):
            fields[name] = nested(value)
    if table == "transactions":
        fields["is_fraud"] = is_fraud(record)
    if (other := other_fields(table, record)) is not None:
        fields["other"] = nested(json.loads(other))
    return {**_place(record), **fields}


def rejected(record: SinkRecord, reason: str) -> dict[str, Any]:
    """A record that is none of its topic's: its bytes as they were, and why."""
    return {**_place(record), "reason": reason, "key": record.key, "value": record.value}


def nested(value: Any) -> Any:
    """Objects and lists as they are, or as JSON where BSON has no form for them, such as a number of more than 64 bits."""
    bson = need("mongodb", "bson")
    if _depth(value) <= _DEEPEST:
        try:
            bson.encode({"value": value})
            return value
        except (need("mongodb", "bson.errors").BSONError, OverflowError, UnicodeError):
            pass
    return json.dumps(value)


def _depth(value: Any) -> int:
    """Levels of objects and lists, counted up to one more than are taken."""
    level, depth = [value], 0
    while depth <= _DEEPEST and level:
        inner: list[Any] = []
        for one in level:
            inner += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        level, depth = inner, depth + 1
    return depth


def _place(record: SinkRecord) -> dict[str, Any]:
    place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    time = instant(max(0, record.timestamp))
    return {"_id": f"{record.topic}-{record.partition}-{record.offset}", **place, "record_time": time}
