"""Which records say no more than their row: their JSON is not kept a second time, `received_records` makes it from the row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson


def is_row(value: bytes, fields: Mapping[str, Any]) -> bool:
    """Whether a record is an object of exactly these fields and values; `fields` are those of its `Transaction`.

    Every field has to be there, under its own name, null where it has no value. Numbers have to be written as orjson
    writes them, without digits that a DOUBLE PRECISION has not; a record in another style is kept as it is.
    """
    wanted = {**fields, "amount": float(fields["amount"])}
    try:
        if orjson.dumps(wanted) == value:
            return True
        found = orjson.loads(value)
        return bool(found == wanted) and orjson.dumps(found) == value
    except (orjson.JSONEncodeError, orjson.JSONDecodeError):
        return False
