"""Where in a record the payment is: on top, in Kafka Connect's `payload`, or in Debezium's `after`.

Sources: Kafka Connect's JsonConverter (schemas.enable), and Debezium's manual, "Change event values".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

_MOST = 0.8


class Envelope(NamedTuple):
    """`path` leads to the payment; `operation` to the kind of change, where records are changes of a table."""

    name: str
    path: tuple[str, ...] = ()
    operation: tuple[str, ...] = ()


NEW = ("c", "r")
"""Debezium's operations of a new row: created, or read in a snapshot."""

FLAT = Envelope("JSON")


def envelope_of(objects: Sequence[dict[str, Any]]) -> Envelope:
    """The envelope that at least four of five objects have."""
    if _most(objects, _has_payload):
        inner = [value["payload"] for value in objects if isinstance(value.get("payload"), dict)]
        if _most(inner, _is_change):
            return Envelope("JSON, changes of Debezium with their schema", ("payload", "after"), ("payload", "op"))
        return Envelope("JSON, Kafka Connect with its schema", ("payload",))
    if _most(objects, _is_change):
        return Envelope("JSON, changes of Debezium", ("after",), ("op",))
    return FLAT


def is_new(envelope: Envelope, value: dict[str, Any]) -> bool:
    """Whether a record of an envelope with operations is a new row."""
    here: Any = value
    for name in envelope.operation:
        here = here.get(name) if isinstance(here, dict) else None
    return here in NEW


def _has_payload(value: dict[str, Any]) -> bool:
    payload = value.get("payload")
    return isinstance(payload, dict) and ("schema" in value or _is_change(payload))


def _is_change(value: dict[str, Any]) -> bool:
    return isinstance(value.get("op"), str) and ("after" in value or "before" in value)


def _most(objects: Sequence[dict[str, Any]], holds: Callable[[dict[str, Any]], bool]) -> bool:
    return bool(objects) and sum(map(holds, objects)) >= _MOST * len(objects)
