"""PROTOBUF_NOSR: a Protocol Buffers message (proto3) whose fields are the columns, numbered from 1, without a registry.

INTEGER is int32, BIGINT int64, arrays are repeated fields, maps repeated entries of key and value, structs messages;
DATE, TIME, TIMESTAMP and DECIMAL are Google's and Confluent's messages for them. There is no NULL: a column that is NULL
is left out, and what is left out reads as zero, an empty text, array or map, or, of what is a message, as NULL. A NULL
within an array or map cannot be written: the query ends.

Source: docs/reference/serialization.md, "Protobuf"; protobuf.dev/programming-guides/encoding; google/type/date.proto,
google/type/timeofday.proto, google/protobuf/timestamp.proto, confluent/type/decimal.proto.
"""

from __future__ import annotations

import decimal
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from streamguard_ksql.datetimes import civil_from_days, days_from_civil
from streamguard_ksql.errors import FatalRecordError, SerializationError
from streamguard_ksql.formats.base import Deserializer, Format, FormatOptions, Serializer, register
from streamguard_ksql.java import wrap_int, wrap_long
from streamguard_ksql.schema import Column
from streamguard_ksql.types import BIGINT, BYTES, INTEGER, STRING, Array, Decimal, Map, SqlType, Struct

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_WIRE = {"BOOLEAN": VARINT, "INTEGER": VARINT, "BIGINT": VARINT, "DOUBLE": FIXED64}
_DOUBLE = struct.Struct("<d")
_DATE = Struct((("YEAR", INTEGER), ("MONTH", INTEGER), ("DAY", INTEGER)))
_TIME = Struct((("HOURS", INTEGER), ("MINUTES", INTEGER), ("SECONDS", INTEGER), ("NANOS", INTEGER)))
_TIMESTAMP = Struct((("SECONDS", BIGINT), ("NANOS", INTEGER)))
_DECIMAL = Struct((("VALUE", BYTES), ("PRECISION", INTEGER), ("SCALE", INTEGER)))
Found = dict[int, list[tuple[int, Any]]]
"""By the number of a field its values, each with its wire type: a whole number, or bytes."""


@register
class ProtobufFormat(Format):
    name = "PROTOBUF_NOSR"
    supported_types = frozenset(
        "BOOLEAN INTEGER BIGINT DOUBLE DECIMAL STRING BYTES DATE TIME TIMESTAMP ARRAY MAP STRUCT".split()
    )

    def serializer(self, columns: Sequence[Column], options: FormatOptions, *, key: bool) -> Serializer:
        types = [column.type for column in columns]

        def write(row: Sequence[Any]) -> bytes | None:
            return None if key and all(value is None for value in row) else _message(types, row)

        return write

    def deserializer(self, columns: Sequence[Column], options: FormatOptions, *, key: bool) -> Deserializer:
        types = [column.type for column in columns]

        def read(data: bytes) -> Sequence[Any]:
            try:
                return _values(types, _fields(data))
            except (IndexError, UnicodeDecodeError, struct.error, ValueError) as error:
                raise SerializationError(f"Failed to deserialize a Protobuf message: {error}") from error

        return read


# --- writing ----------------------------------------------------------------------------------------------------------


def _message(types: Sequence[SqlType], values: Sequence[Any]) -> bytes:
    return b"".join([_field(n, t, value) for n, (t, value) in enumerate(zip(types, values, strict=True), 1)])


def _field(number: int, sql_type: SqlType, value: Any) -> bytes:
    """A field; nothing where it has the value that is read where there is none."""
    if value is None:
        return b""
    if isinstance(sql_type, Array):
        return b"".join([_tagged(number, sql_type.item, _present(item)) for item in value])
    if isinstance(sql_type, Map):
        entry = Struct((("KEY", sql_type.key), ("VALUE", sql_type.value)))
        pairs = ({"KEY": _present(k), "VALUE": _present(v)} for k, v in value.items())
        return b"".join([_tagged(number, entry, pair) for pair in pairs])
    if sql_type.base in _DEFAULTS and not value and str(value) != "-0.0":
        return b""
    return _tagged(number, sql_type, value)


def _present(value: Any) -> Any:
    if value is None:
        raise FatalRecordError("Error serializing message to topic: a Protobuf array or map cannot have a NULL in it.")
    return value


def _tagged(number: int, sql_type: SqlType, value: Any) -> bytes:
    wire = _WIRE.get(sql_type.base, LENGTH)
    tag = _varint(number << 3 | wire)
    if wire == VARINT:
        return tag + _varint(int(value) & 0xFFFF_FFFF_FFFF_FFFF)
    if wire == FIXED64:
        return tag + _DOUBLE.pack(value)
    data = _bytes(sql_type, value)
    return tag + _varint(len(data)) + data


def _bytes(sql_type: SqlType, value: Any) -> bytes:
    if sql_type == STRING:
        return bytes(value.encode("utf-8", "replace"))
    if sql_type == BYTES:
        return bytes(value)
    if isinstance(sql_type, Struct):
        return _message([t for _, t in sql_type.fields], [value.get(name) for name, _ in sql_type.fields])
    if isinstance(sql_type, Array | Map):
        # An array in an array: a message with it as its only field.
        return _message([sql_type], [value])
    inner, parts = _MESSAGES[sql_type.base]
    return _message([t for _, t in inner.fields], parts(sql_type, value))


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _time_parts(_: SqlType, value: int) -> Sequence[Any]:
    seconds, ms = divmod(value, 1000)
    return seconds // 3600, seconds // 60 % 60, seconds % 60, ms * 1_000_000


def _timestamp_parts(_: SqlType, value: int) -> Sequence[Any]:
    return value // 1000, value % 1000 * 1_000_000


def _decimal_parts(sql_type: SqlType, value: decimal.Decimal) -> Sequence[Any]:
    assert isinstance(sql_type, Decimal)
    unscaled = int(value.scaleb(sql_type.scale, decimal.Context(prec=400)))
    length = (unscaled + (unscaled < 0)).bit_length() // 8 + 1
    return unscaled.to_bytes(length, "big", signed=True), sql_type.precision, sql_type.scale


_MESSAGES: dict[str, tuple[Struct, Callable[[SqlType, Any], Sequence[Any]]]] = {
    "DATE": (_DATE, lambda _, value: civil_from_days(value)),
    "TIME": (_TIME, _time_parts),
    "TIMESTAMP": (_TIMESTAMP, _timestamp_parts),
    "DECIMAL": (_DECIMAL, _decimal_parts),
}


# --- reading ----------------------------------------------------------------------------------------------------------


def _fields(data: bytes) -> Found:
    found: Found = {}
    for number, wire, value in _parts(data):
        found.setdefault(number, []).append((wire, value))
    return found


def _parts(data: bytes) -> Iterator[tuple[int, int, Any]]:
    place = 0
    while place < len(data):
        tag, place = _read_varint(data, place)
        wire = tag & 7
        if wire == VARINT:
            value, place = _read_varint(data, place)
            yield tag >> 3, wire, value
            continue
        size = {FIXED64: 8, FIXED32: 4}.get(wire)
        if wire == LENGTH:
            size, place = _read_varint(data, place)
        if size is None or place + size > len(data):
            raise ValueError("it is cut off, or no such message")
        yield tag >> 3, wire, data[place : place + size]
        place += size


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("a number is too long")


def _values(types: Sequence[SqlType], found: Found) -> list[Any]:
    return [_value(sql_type, found.get(number, [])) for number, sql_type in enumerate(types, 1)]


def _value(sql_type: SqlType, found: list[tuple[int, Any]]) -> Any:
    if isinstance(sql_type, Array):
        return list(_items(sql_type.item, found))
    if isinstance(sql_type, Map):
        pairs = (_values([sql_type.key, sql_type.value], _fields(data)) for _, data in found)
        return dict(map(tuple, pairs))
    if not found:
        return _DEFAULTS.get(sql_type.base)
    return _single(sql_type, *found[-1])


_DEFAULTS = {"BOOLEAN": False, "INTEGER": 0, "BIGINT": 0, "DOUBLE": 0.0, "STRING": "", "BYTES": b""}


def _items(item: SqlType, found: list[tuple[int, Any]]) -> Iterator[Any]:
    """The elements of a repeated field; numbers may be packed into one."""
    wire = _WIRE.get(item.base, LENGTH)
    for given, value in found:
        if given == wire:
            yield _single(item, given, value)
        elif wire == FIXED64:
            yield from (_DOUBLE.unpack_from(value, place)[0] for place in range(0, len(value), 8))
        else:
            place = 0
            while place < len(value):
                number, place = _read_varint(value, place)
                yield _single(item, VARINT, number)


def _single(sql_type: SqlType, wire: int, value: Any) -> Any:
    if wire != _WIRE.get(sql_type.base, LENGTH):
        raise ValueError(f"a field is no {sql_type.base}")
    match sql_type.base:
        case "BOOLEAN":
            return bool(value)
        case "INTEGER":
            return wrap_int(value)
        case "BIGINT":
            return wrap_long(value)
        case "DOUBLE":
            return _DOUBLE.unpack(value)[0]
        case "STRING":
            return value.decode()
        case "BYTES":
            return value
    if isinstance(sql_type, Struct):
        values = _values([t for _, t in sql_type.fields], _fields(value))
        return dict(zip([name for name, _ in sql_type.fields], values, strict=True))
    if isinstance(sql_type, Array | Map):
        return _values([sql_type], _fields(value))[0]
    return _moment(sql_type, _values([t for _, t in _MESSAGES[sql_type.base][0].fields], _fields(value)))


def _moment(sql_type: SqlType, parts: Sequence[Any]) -> Any:
    match sql_type.base:
        case "DATE":
            return days_from_civil(*parts)
        case "TIME":
            hours, minutes, seconds, nanos = parts
            return ((hours * 60 + minutes) * 60 + seconds) * 1000 + nanos // 1_000_000
        case "TIMESTAMP":
            return parts[0] * 1000 + parts[1] // 1_000_000
    assert isinstance(sql_type, Decimal)
    unscaled = int.from_bytes(parts[0], "big", signed=True)
    return decimal.Decimal(unscaled).scaleb(-sql_type.scale, decimal.Context(prec=400))
