"""Records as documents of MongoDB: decimals, dates, and nested fields where its format has a place for them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from streamguard.config.extras import need
from streamguard.models.records import BadRecord
from streamguard.sinks.base import SinkRecord
from streamguard.sinks.typed import instant, is_fraud, other_fields, read, values

_DEEPEST, _LARGEST = 50, 12_000_000
"""MongoDB takes 100 levels and 16 MiB in a document (https://www.mongodb.com/docs/manual/reference/limits/)."""


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
    """Objects and lists as they are, or as JSON where MongoDB has no place for them, such as a number of more than 64 bits.

    Raises BadRecord where that is too large as well.
    """
    bson = need("mongodb", "bson")
    if _is_plain(value):
        try:
            if len(bson.encode({"value": value})) < _LARGEST:
                return value
        except (need("mongodb", "bson.errors").BSONError, OverflowError, UnicodeError):
            pass
    text = json.dumps(value)
    if len(text) > _LARGEST:
        raise BadRecord("it is too large for a document of MongoDB")
    return text


def _is_plain(value: Any) -> bool:
    """Whether it is not too deep, and no name of a field reads as an operator."""
    level, depth = [value], 0
    while level:
        if depth > _DEEPEST or any(name.startswith("$") for one in level if isinstance(one, dict) for name in one):
            return False
        inner: list[Any] = []
        for one in level:
            inner += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        level, depth = inner, depth + 1
    return True


def _place(record: SinkRecord) -> dict[str, Any]:
    place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    time = instant(max(0, record.timestamp))
    return {"_id": f"{record.topic}-{record.partition}-{record.offset}", **place, "record_time": time}
