"""JSON: an object of the columns, or one bare value where single values are not wrapped.

Written as ksqlDB writes it: every column is there, NULL as null, doubles in Java's digits, decimals with their scale.
Read as ksqlDB reads it: field names in any case, numbers from strings, any value into a STRING; dates as days, times
as milliseconds. Both directions are generated Python code, made once per schema.

Source: docs/reference/serialization.md, "JSON"; the bytes are compared with recordings of ksqlDB.
"""

from __future__ import annotations

import base64
import decimal
import json
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from streamguard_ksql.codegen import Environment, list_of
from streamguard_ksql.errors import ROW_ERRORS, KsqlError, SerializationError
from streamguard_ksql.formats.base import Deserializer, Format, FormatOptions, Serializer, register
from streamguard_ksql.formats.json_plain import DecimalValue, NeedsExact, PlainObjects, are_plain
from streamguard_ksql.java import (
    SPACE,
    decimal_to_string,
    double_to_string,
    parse_decimal,
    parse_double,
    parse_long,
    wrap_int,
    wrap_long,
)
from streamguard_ksql.schema import Column
from streamguard_ksql.types import (
    BOOLEAN,
    STRING,
    Array,
    Decimal,
    Map,
    SqlType,
    Struct,
)

ALL_TYPES = frozenset(
    [
        "BOOLEAN",
        "INTEGER",
        "BIGINT",
        "DOUBLE",
        "DECIMAL",
        "STRING",
        "BYTES",
        "DATE",
        "TIME",
        "TIMESTAMP",
        "ARRAY",
        "MAP",
        "STRUCT",
    ]
)
MAX_DEPTH = 200
"""Nesting beyond this is refused as unreadable: it would only serve to exhaust a stack."""


@register
class JsonFormat(Format):
    name = "JSON"
    supported_types = ALL_TYPES
    supports_unwrapping = True

    def _check_type(self, column: Column) -> None:
        super()._check_type(column)
        _check_map_keys(column.type)

    def serializer(self, columns: Sequence[Column], options: FormatOptions, *, key: bool) -> Serializer:
        if not columns:
            return lambda row: None if key else b"{}"
        if _is_unwrapped(columns, options, key):
            to_text = writer(columns[0].type)
            return lambda row: None if row[0] is None else to_text(row[0]).encode()
        return _object_serializer(columns)

    def deserializer(self, columns: Sequence[Column], options: FormatOptions, *, key: bool) -> Deserializer:
        if any(_needs_exact(c.type) for c in columns):
            return _deserializer(columns, options, _exact_loads, key=key)
        read = _deserializer(columns, options, _loads, key=key)
        return _exact_where_needed(read, columns, options, key=key) if any(_has_text(c.type) for c in columns) else read


def _deserializer(
    columns: Sequence[Column], options: FormatOptions, load: Callable[[bytes], Any], *, key: bool
) -> Deserializer:
    if _is_unwrapped(columns, options, key):
        return _bare_deserializer(columns[0], load)
    return _object_deserializer(columns, load)


def _exact_where_needed(
    read: Deserializer, columns: Sequence[Column], options: FormatOptions, *, key: bool
) -> Deserializer:
    def read_text(data: bytes) -> Sequence[Any] | None:
        try:
            return read(data)
        except NeedsExact:
            return exactly(data)

    exactly = _deserializer(columns, options, _exact_loads, key=key)
    plain = getattr(read, "__self__", None)
    if isinstance(plain, PlainObjects):
        plain.exactly = exactly  # it does the same on its slow path alone
        return read
    return read_text


def _is_unwrapped(columns: Sequence[Column], options: FormatOptions, key: bool) -> bool:
    return len(columns) == 1 and (key or options.wrap is False)


def _check_map_keys(sql_type: SqlType) -> None:
    if isinstance(sql_type, Map):
        if sql_type.key.base != "STRING":
            raise KsqlError("JSON only supports MAP types with STRING keys")
        _check_map_keys(sql_type.value)
    elif isinstance(sql_type, Array):
        _check_map_keys(sql_type.item)
    elif isinstance(sql_type, Struct):
        for _, field_type in sql_type.fields:
            _check_map_keys(field_type)


# --- writing ----------------------------------------------------------------------------------------------------------


def text_of_string(value: str) -> str:
    """A JSON string literal."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # a lone surrogate
        return json.dumps(value)


def text_of_key(key: Any) -> str:
    """The key of a map as a JSON string; NULL is `null`."""
    return text_of_string("null" if key is None else str(key))


def writer(sql_type: SqlType) -> Callable[[Any], str]:
    """The function that gives a value's JSON text; the value is not None."""
    match sql_type:
        case Array(item):
            item_text = _nullable(writer(item))
            return lambda value: "[" + ",".join(map(item_text, value)) + "]"
        case Map(_, value_type):
            value_text = _nullable(writer(value_type))
            return lambda value: "{" + ",".join(f"{text_of_key(k)}:{value_text(v)}" for k, v in value.items()) + "}"
        case Struct(fields):
            writers = [(text_of_string(name) + ":", name, _nullable(writer(t))) for name, t in fields]
            return lambda value: "{" + ",".join(label + text(value.get(name)) for label, name, text in writers) + "}"
        case _:
            return _SCALAR_WRITERS.get(sql_type.base, str)


def _nullable(text: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "null" if value is None else text(value)


def _double_text(value: float) -> str:
    text = double_to_string(value)
    return text if text[-1] not in "yN" else f'"{text}"'


_SCALAR_WRITERS: dict[str, Callable[[Any], str]] = {
    "BOOLEAN": lambda value: "true" if value else "false",
    "STRING": text_of_string,
    "DOUBLE": _double_text,
    "DECIMAL": decimal_to_string,
    "BYTES": lambda value: f'"{base64.b64encode(value).decode()}"',
}


def _object_serializer(columns: Sequence[Column]) -> Serializer:
    """Generated code: one sum of texts with an inlined NULL test per column."""
    env = Environment()
    parts = []
    for i, column in enumerate(columns):
        label = ("{" if i == 0 else ",") + text_of_string(column.name) + ":"
        if column.type.base in ("INTEGER", "BIGINT", "DATE", "TIME", "TIMESTAMP"):
            text = f"str(r[{i}])"
        else:
            text = env.call(writer(column.type), f"r[{i}]")
        parts.append(f"{label!r} + ('null' if r[{i}] is None else {text})")
    total = " +\n        ".join([*parts, "'}'"])
    return env.function("write_json", "r", f"({total}).encode()")


# --- reading ----------------------------------------------------------------------------------------------------------


def _needs_exact(sql_type: SqlType) -> bool:
    """Whether numbers must be read without passing through a double."""
    match sql_type:
        case Decimal():
            return True
        case Array(item):
            return _needs_exact(item)
        case Map(_, value):
            return _needs_exact(value)
        case Struct(fields):
            return any(_needs_exact(t) for _, t in fields)
        case _:
            return False


def _has_text(sql_type: SqlType) -> bool:
    match sql_type:
        case Array(item):
            return _has_text(item)
        case Map(_, value):
            return _has_text(value)
        case Struct(fields):
            return any(_has_text(t) for _, t in fields)
        case _:
            return sql_type == STRING


EXPONENT_LIMIT = 10_000


def _loads(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return _slow_loads(data, float)


def _exact_loads(data: bytes) -> Any:
    return _slow_loads(data, _exact_number)


def _exact_number(text: str) -> decimal.Decimal:
    """A number as it is written; ValueError for one whose digits, written out, would take all memory."""
    number = decimal.Decimal(text)
    if abs(number.adjusted()) > EXPONENT_LIMIT:
        raise ValueError(f"{text[:40]} has an exponent beyond {EXPONENT_LIMIT}")
    return number


def _slow_loads(data: bytes, parse_float: Callable[[str], Any]) -> Any:
    """For what orjson refuses though it is JSON: integers beyond 64 bits; and for exact decimals.

    What is behind the first value is left unread, as ksqlDB does.
    """
    try:
        text = data.decode(json.detect_encoding(data), "surrogatepass")
        return json.JSONDecoder(parse_float=parse_float, parse_constant=_no_constant).raw_decode(
            text.lstrip(" \t\r\n")
        )[0]
    except (ValueError, RecursionError) as error:
        raise SerializationError(f"Failed to deserialize value from topic: invalid JSON: {error}") from error


def _no_constant(word: str) -> Any:
    raise ValueError(f"Non-standard token '{word}'")


def _bare_deserializer(column: Column, load: Callable[[bytes], Any]) -> Deserializer:
    convert = reader(column.type)

    def read(data: bytes) -> tuple[Any]:
        value = load(data)
        return (None if value is None else _converted(convert, value, column.name),)

    return read


def _converted(convert: Callable[[Any], Any], value: Any, name: str) -> Any:
    try:
        return convert(value)
    except (ValueError, *ROW_ERRORS) as error:
        raise SerializationError(f"Can't convert type of field `{name}`: {error}, path: $.{name}") from error


_MOST_SHAPES = 1000


def _object_deserializer(columns: Sequence[Column], load: Callable[[bytes], Any]) -> Deserializer:
    if are_plain(columns):
        decimals = {i: _decimal_value(c.type) for i, c in enumerate(columns) if isinstance(c.type, Decimal)}
        return PlainObjects(columns, load, _field_by_field(columns, lambda parsed: parsed), decimals).read
    return _field_by_field(columns, load)


class _Spelling:
    """How the fields of objects are spelt, per set of field names.

    A column has the field of its own name, else the last one that is its name in upper case: a name with lower-case
    letters, which was quoted, is that of no other field.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self._known: dict[tuple[str, ...], list[str]] = {}

    def of(self, fields: dict[str, Any]) -> list[str]:
        """The field for each column, in order; the column's own name where the object has no such field."""
        shape = tuple(fields)
        found = self._known.get(shape)
        if found is None:
            upper = {field.upper(): field for field in shape}
            found = [name if name in fields else upper.get(name, name) for name in self.names]
            if len(self._known) < _MOST_SHAPES:
                self._known[shape] = found
        return found


def _field_by_field(columns: Sequence[Column], load: Callable[[Any], Any]) -> Deserializer:
    """Generated code: plain scalars are taken over by an inlined type test, all else is converted."""
    env = Environment()
    values = []
    for i, column in enumerate(columns):
        converted = env.call(_column_reader(column), "x")
        if column.type.base == "STRING":
            values.append(f"(x if type(x := get(n[{i}])) is str or x is None else {converted})")
        elif column.type.base == "DOUBLE":
            values.append(f"(x + 0.0 if type(x := get(n[{i}])) is float else None if x is None else {converted})")
        else:
            values.append(f"(None if (x := get(n[{i}])) is None else {converted})")
    return env.define(
        "read_json",
        "data",
        [
            f"d = {env.call(load, 'data')}",
            f"if type(d) is not dict: return {env.call(_not_an_object, 'd')}",
            "get = d.get",
            f"n = {env.call(_Spelling([c.name for c in columns]).of, 'd')}",
            f"return {list_of(values)}",
        ],
    )


def _column_reader(column: Column) -> Callable[[Any], Any]:
    convert = reader(column.type)

    def read_field(value: Any) -> Any:
        return _converted(convert, value, column.name)

    return read_field


def _not_an_object(value: Any) -> None:
    if value is None:
        return
    raise SerializationError(f"Expected a JSON object, got {_kind(value)}")


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "BOOLEAN"
    return {str: "STRING", int: "NUMBER", float: "NUMBER", decimal.Decimal: "NUMBER", list: "ARRAY", dict: "OBJECT"}[
        type(value)
    ]


def reader(sql_type: SqlType) -> Callable[[Any], Any]:
    """The function that turns a parsed JSON value (not None) into a SQL value; ValueError where it cannot be."""
    match sql_type:
        case Array(item):
            read_item = reader(item)
            return lambda value: [None if v is None else read_item(v) for v in _expect(value, list, sql_type)]
        case Map(_, value_type):
            read_value = reader(value_type)
            return lambda value: {
                k: None if v is None else read_value(v) for k, v in _expect(value, dict, sql_type).items()
            }
        case Struct(fields):
            return _struct_reader(sql_type, fields)
        case Decimal(precision, scale):
            quantum = decimal.Decimal(1).scaleb(-scale)
            return lambda value: _decimal(value, quantum, precision, scale)
        case _:
            return _SCALAR_READERS[sql_type.base]


def _struct_reader(sql_type: Struct, fields: tuple[tuple[str, SqlType], ...]) -> Callable[[Any], Any]:
    readers = [(name, reader(t)) for name, t in fields]

    def read(value: Any) -> dict[str, Any]:
        given = _expect(value, dict, sql_type)
        upper = {k.upper(): v for k, v in given.items()}
        row = {}
        for name, read_field in readers:
            field = given[name] if name in given else upper.get(name)
            row[name] = None if field is None else read_field(field)
        return row

    return read


def _expect(value: Any, kind: type, sql_type: SqlType) -> Any:
    if type(value) is not kind:
        raise ValueError(f"cannot read {sql_type.base} from {_kind(value)}")
    return value


def _decimal(value: Any, quantum: decimal.Decimal, precision: int, scale: int) -> decimal.Decimal:
    exact = _exactly(value)
    with decimal.localcontext() as context:
        context.prec = 100
        result = exact.quantize(quantum)
        if result != exact:
            raise ValueError(f"{value} does not fit DECIMAL({precision}, {scale})")
        if len(result.as_tuple().digits) > precision and result != 0:
            raise ValueError(f"Numeric field overflow: {value} does not fit DECIMAL({precision}, {scale})")
    return result or _zero(quantum)


def _decimal_value(sql_type: Decimal) -> DecimalValue:
    """How what JSON has becomes a DECIMAL; ValueError or ArithmeticError where it cannot."""
    convert = reader(sql_type)
    quantum = decimal.Decimal(1).scaleb(-sql_type.scale)

    quantize = decimal.Context(sql_type.precision, traps=_UNFIT).quantize

    def other(value: Any) -> decimal.Decimal | None:
        if value.__class__ is int:
            return quantize(decimal.Decimal(value), quantum)
        return None if value is None else convert(value)

    return DecimalValue(quantize, quantum, _zero(quantum), other)


_UNFIT = [decimal.Inexact, decimal.InvalidOperation, decimal.Overflow]


def _zero(quantum: decimal.Decimal) -> decimal.Decimal:
    """Zero with the places of a type: Java's decimals have no negative one."""
    return quantum - quantum


def _exactly(value: Any) -> decimal.Decimal:
    """The number that a JSON value is, or that its text says."""
    if isinstance(value, str):
        return parse_decimal(value.strip(SPACE))
    if isinstance(value, bool) or not isinstance(value, (int, float, decimal.Decimal)):
        raise ValueError(f"cannot read DECIMAL from {_kind(value)}")
    return decimal.Decimal(repr(value) if isinstance(value, float) else value)


def _boolean(value: Any) -> bool:
    return bool(_expect(value, bool, BOOLEAN))


def _integer(wrap: Callable[[int], int], name: str) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if type(value) is int:
            return wrap(value)
        if type(value) in (float, decimal.Decimal):
            return wrap(int(value))
        if type(value) is str:
            return wrap(parse_long(value.strip()))
        raise ValueError(f"cannot read {name} from {_kind(value)}")

    return read


def _double(value: Any) -> float:
    if type(value) is str:
        return parse_double(value.strip(SPACE))
    if type(value) in (float, int, decimal.Decimal):
        return float(value) + 0.0  # ksqlDB reads numbers as BigDecimal, which has no negative zero
    raise ValueError(f"cannot read DOUBLE from {_kind(value)}")


def _string(value: Any) -> str:
    """Any JSON value as text: objects as JSON, arrays as `[a, b]`, of the texts of their elements."""
    if type(value) is str:
        return value
    if type(value) is list:
        return "[" + ", ".join(map(_string, value)) + "]"
    return _json_text(value)


def _json_text(value: Any) -> str:
    """A JSON value as its compact text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, float):
        raise NeedsExact
    if isinstance(value, decimal.Decimal):
        return str(value or value.copy_abs())
    if isinstance(value, str):
        return text_of_string(value)
    if isinstance(value, list):
        return "[" + ",".join(map(_json_text, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{text_of_string(k)}:{_json_text(v)}" for k, v in value.items()) + "}"
    return str(value)


def _bytes(value: Any) -> bytes:
    if type(value) is not str:
        raise ValueError(f"cannot read BYTES from {_kind(value)}")
    return base64.b64decode(value, validate=True)


_SCALAR_READERS: dict[str, Callable[[Any], Any]] = {
    "BOOLEAN": _boolean,
    "INTEGER": _integer(wrap_int, "INTEGER"),
    "BIGINT": _integer(wrap_long, "BIGINT"),
    "DATE": _integer(wrap_int, "DATE"),
    "TIME": _integer(wrap_int, "TIME"),
    "TIMESTAMP": _integer(wrap_long, "TIMESTAMP"),
    "DOUBLE": _double,
    "STRING": _string,
    "BYTES": _bytes,
}
