"""Keys: what identifies a row, and the bytes of a key, of a window's key too."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from streamguard_ksql.catalog import WindowInfo
from streamguard_ksql.errors import SerializationError
from streamguard_ksql.formats import FormatOptions, Serializer, find_format
from streamguard_ksql.operators.record import Record, Window
from streamguard_ksql.schema import Column

_LONG = struct.Struct(">q")


def identity(record: Record) -> Any:
    """What identifies a row of a table, and has to be equal for rows to be joined: the key, and its window."""
    key = record.key
    try:
        hash(key)
    except TypeError:
        return repr(key) if record.window is None else (repr(key), record.window)
    return key if record.window is None else (key, record.window)


def split_windowed_key(data: bytes, window: WindowInfo) -> tuple[bytes, Window]:
    """The plain key and the window of a windowed key: key, start (8 bytes); of a session: key, end, start."""
    if window.kind == "SESSION":
        if len(data) < 16:
            raise SerializationError(f"a session windowed key has at least 16 bytes, got {len(data)}")
        end, start = _LONG.unpack_from(data, len(data) - 16)[0], _LONG.unpack_from(data, len(data) - 8)[0]
        return data[:-16], (start, end)
    if len(data) < 8:
        raise SerializationError(f"a windowed key has at least 8 bytes, got {len(data)}")
    start = _LONG.unpack_from(data, len(data) - 8)[0]
    return data[:-8], (start, start + (window.size_ms or 0))


def windowed_key(data: bytes, bounds: Window, window: WindowInfo) -> bytes:
    """The bytes of a windowed key; the inverse of `split_windowed_key`."""
    if window.kind == "SESSION":
        return data + _LONG.pack(bounds[1]) + _LONG.pack(bounds[0])
    return data + _LONG.pack(bounds[0])


def inner_key(columns: Sequence[Column]) -> Serializer:
    """How a key is written between the steps of a query: as KAFKA where that can carry it, else as JSON."""
    plain = len(columns) == 1 and columns[0].type.base in find_format("KAFKA").supported_types
    return find_format("KAFKA" if plain else "JSON").serializer(columns, FormatOptions(), key=True)
