"""How values of a type are ordered, and which are equal, where that is not as Python has it."""

from __future__ import annotations

from collections.abc import Callable
from math import copysign
from typing import Any

from streamguard_ksql.types import BYTES, DOUBLE, SqlType

_SIGNED = bytes((value + 128) % 256 for value in range(256))


def signed(value: bytes) -> bytes:
    """Bytes that order as Java orders the given ones: 0x80 to 0xFF are negative, before 0x00."""
    return value.translate(_SIGNED)


def order_of(sql_type: SqlType | None) -> Callable[[Any], Any] | None:
    """The key to sort values of a type by; None where it is the value."""
    return signed if sql_type == BYTES else None


def double_order(value: float) -> tuple[bool, float, float]:
    """A key that orders as Java's collections do: -0.0 is before 0.0, and NaN behind infinity."""
    return (value != value, 0.0 if value != value else value, copysign(1, value) if value == 0 else 0)


def element_order(sql_type: SqlType | None) -> Callable[[Any], Any] | None:
    """As `order_of`, for values of which any may be NaN or -0.0."""
    return double_order if sql_type == DOUBLE else order_of(sql_type)


def identity_of(sql_type: SqlType | None) -> Callable[[Any], Any] | None:
    """What is equal for values that are equal in Java: NaN is itself, -0.0 is not 0.0. None where it is the value."""
    return identity if sql_type is None or DOUBLE.name in str(sql_type) else None


def identity(value: Any) -> Any:
    """Hashable, and equal for values, NULL too, that Java's `equals` has equal."""
    if isinstance(value, float):
        return double_order(value)
    if isinstance(value, list):
        return tuple(map(identity, value))
    return frozenset((key, identity(item)) for key, item in value.items()) if isinstance(value, dict) else value
