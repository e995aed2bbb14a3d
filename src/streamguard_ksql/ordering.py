"""How values of a type are ordered where that is not as Python orders them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamguard_ksql.types import BYTES, SqlType

_SIGNED = bytes((value + 128) % 256 for value in range(256))


def signed(value: bytes) -> bytes:
    """Bytes that order as Java orders the given ones: 0x80 to 0xFF are negative, before 0x00."""
    return value.translate(_SIGNED)


def order_of(sql_type: SqlType | None) -> Callable[[Any], Any] | None:
    """The key to sort values of a type by; None where it is the value."""
    return signed if sql_type == BYTES else None
