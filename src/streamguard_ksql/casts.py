"""Conversions between SQL types: the explicit CAST, what ksqlDB converts by itself, and literals.

A conversion is looked up once, when a query is built, and is a plain function from value to value then; None is
"nothing to do". NULL stays NULL. A pair of types that cannot be converted is refused with a KsqlError at build time; a
value that cannot raises EvaluationError in its row.

Source: docs/developer-guide/ksqldb-reference/scalar-functions.md (CAST) and type-coercion.md of the ksqlDB manual.
"""

from __future__ import annotations

import base64
import decimal
from collections.abc import Callable, Mapping
from typing import Any

from streamguard_ksql import java
from streamguard_ksql.datetimes import DAY_MS, parse_date, parse_time, parse_timestamp
from streamguard_ksql.errors import EvaluationError, KsqlError
from streamguard_ksql.text import renderer, type_text
from streamguard_ksql.types import BOOLEAN, STRING, Array, Decimal, Map, SqlType, Struct, is_numeric
from streamguard_ksql.widening import widens

Conversion = Callable[[Any], Any]
PRESERVE_NULLS = "ksql.cast.strings.preserve.nulls"


def cast_function(
    source: SqlType | None, target: SqlType, config: Mapping[str, Any] | None = None
) -> Conversion | None:
    """What CAST(source AS target) does to a value; None if nothing. KsqlError if ksqlDB does not support the cast."""
    if target == STRING and str((config or {}).get(PRESERVE_NULLS, True)).lower() == "false":
        return renderer(source) if source is not None else lambda value: "null"
    return _convert(source, target, _explicit)


def implicit_cast(source: SqlType | None, target: SqlType | None) -> Conversion | None:
    """What ksqlDB does by itself where it needs `target`: widen numbers, read dates and times from strings, and the
    same inside of arrays, maps and structs. KsqlError for all else."""
    return None if target is None else _convert(source, target, _implicit)


def can_coerce(source: SqlType | None, target: SqlType) -> bool:
    """Whether `implicit_cast` has a conversion."""
    try:
        implicit_cast(source, target)
    except KsqlError:
        return False
    return True


def coerce_literal(value: Any, source: SqlType | None, target: SqlType) -> Any:
    """A constant as a value of another type, by ksqlDB's laxer rules for literals.

    All of `implicit_cast`, and: any primitive becomes a STRING; a STRING with a number, or a boolean, becomes one. A
    STRING that is no such thing is refused: `invalid input syntax for type INTEGER: "x".`
    """
    if source is None or value is None:
        return None
    if target == STRING and not isinstance(source, Array | Map | Struct):
        return renderer(source)(value)
    if source == STRING and target.base in _FROM_STRING and target != STRING:
        return _parse_literal(value, target)
    convert = implicit_cast(source, target)
    return convert(value) if convert else value


def _parse_literal(text: str, target: SqlType) -> Any:
    try:
        if target == BOOLEAN:
            return parse_boolean(text)
        if target.base in ("INTEGER", "BIGINT"):
            return _whole_number(text, target)
        return _from_string(target)(text)
    except EvaluationError:
        raise KsqlError(f'invalid input syntax for type {type_text(target)}: "{text}".') from None


def _whole_number(text: str, target: SqlType) -> int:
    """`4.000` is a whole number too."""
    number = java.parse_decimal(text.strip())
    if number.adjusted() > 20 or number != number.to_integral_value():
        raise EvaluationError(f"{text} is not a whole number")
    return (java.parse_int if target.base == "INTEGER" else java.parse_long)(str(int(number)))


def parse_boolean(text: str) -> bool:
    """`true`, `yes`, `false`, `no` or the beginning of one, in any case; EvaluationError for anything else."""
    word = text.strip().lower()
    if word and ("true".startswith(word) or "yes".startswith(word)):
        return True
    if word and ("false".startswith(word) or "no".startswith(word)):
        return False
    raise EvaluationError(f"not a boolean: {text!r}")


# --- how -------------------------------------------------------------------------------------------------------------

_Rule = Callable[[SqlType, SqlType], Conversion]


def _convert(source: SqlType | None, target: SqlType, rule: _Rule) -> Conversion | None:
    if source is None or source == target:
        return None
    if isinstance(source, Array) and isinstance(target, Array):
        return _array(_convert(source.item, target.item, rule))
    if isinstance(source, Map) and isinstance(target, Map):
        return _map(_convert(source.key, target.key, rule), _convert(source.value, target.value, rule))
    if isinstance(source, Struct) and isinstance(target, Struct):
        return _struct(source, target, rule)
    convert = rule(source, target)
    return None if convert is _same else lambda value: None if value is None else convert(value)


def _array(convert: Conversion | None) -> Conversion | None:
    if convert is None:
        return None
    return lambda value: None if value is None else [convert(item) for item in value]


def _map(key: Conversion | None, value: Conversion | None) -> Conversion | None:
    if key is None and value is None:
        return None
    on_key, on_value = key or _same, value or _same
    return lambda entries: None if entries is None else {on_key(k): on_value(v) for k, v in entries.items()}


def _struct(source: Struct, target: Struct, rule: _Rule) -> Conversion:
    """Fields of the same name are converted, those that the source does not have are NULL, the others are dropped."""
    steps = []
    for name, wanted in target.fields:
        found = source.field(name)
        steps.append((name, None if found is None else _convert(found, wanted, rule) or _same))

    def convert(value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is None:
            return None
        return {name: None if step is None else step(value.get(name)) for name, step in steps}

    return convert


def _same(value: Any) -> Any:
    return value


def _explicit(source: SqlType, target: SqlType) -> Conversion:
    if target == STRING and source.base != "BYTES":
        return renderer(source)
    if source == STRING and target.base in _FROM_STRING:
        return _from_string(target)
    if is_numeric(source) and is_numeric(target):
        return _number(source, target)
    moment = _MOMENTS.get((source.base, target.base))
    if moment is None:
        raise KsqlError(f"Cast of {type_text(source)} to {type_text(target)} is not supported")
    return moment


def _implicit(source: SqlType, target: SqlType) -> Conversion:
    if not widens(source, target):
        raise KsqlError(f"Cannot coerce {type_text(source)} to {type_text(target)}")
    if isinstance(source, Decimal) and isinstance(target, Decimal) and not _fits(source, target):
        raise KsqlError(f"Cannot coerce {type_text(source)} to {type_text(target)}")
    return _explicit(source, target)


def _fits(source: Decimal, target: Decimal) -> bool:
    return source.scale <= target.scale and source.precision - source.scale <= target.precision - target.scale


_MOMENTS: dict[tuple[str, str], Conversion] = {
    ("TIMESTAMP", "DATE"): lambda value: value // DAY_MS,
    ("TIMESTAMP", "TIME"): lambda value: value % DAY_MS,
    ("DATE", "TIMESTAMP"): lambda value: value * DAY_MS,
}


def _is_true(text: str) -> bool:
    """Anything but `true`, `yes` or the beginning of one is false."""
    word = text.strip().lower()
    return bool(word) and ("true".startswith(word) or "yes".startswith(word))


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise EvaluationError(f"not base64: {text!r}") from None


_FROM_STRING: dict[str, Conversion] = {
    "BYTES": _bytes,
    "BOOLEAN": _is_true,
    "INTEGER": lambda text: java.parse_int(text.strip()),
    "BIGINT": lambda text: java.parse_long(text.strip()),
    "DOUBLE": lambda text: java.parse_double(text.strip()),
    "DECIMAL": lambda text: java.parse_decimal(text.strip()),
    "DATE": parse_date,
    "TIME": parse_time,
    "TIMESTAMP": parse_timestamp,
}


def _from_string(target: SqlType) -> Conversion:
    parse = _FROM_STRING[target.base]
    if not isinstance(target, Decimal):
        return parse
    precision, scale = target.precision, target.scale
    return lambda text: java.fit_decimal(parse(text), precision, scale)


_NUMBERS: dict[tuple[str, str], Conversion] = {
    ("INTEGER", "BIGINT"): _same,
    ("INTEGER", "DOUBLE"): float,
    ("BIGINT", "INTEGER"): java.wrap_int,
    ("BIGINT", "DOUBLE"): float,
    ("DOUBLE", "INTEGER"): java.double_to_int,
    ("DOUBLE", "BIGINT"): java.double_to_long,
    ("DECIMAL", "INTEGER"): lambda value: java.wrap_int(int(value)),
    ("DECIMAL", "BIGINT"): lambda value: java.wrap_long(int(value)),
    ("DECIMAL", "DOUBLE"): float,
}


def _number(source: SqlType, target: SqlType) -> Conversion:
    if not isinstance(target, Decimal):
        return _NUMBERS[source.base, target.base]
    precision, scale = target.precision, target.scale
    if source.base == "DOUBLE":
        return lambda value: java.fit_decimal(java.double_to_decimal(value), precision, scale)
    if isinstance(source, Decimal):
        if source.scale == scale and source.precision <= precision:
            return _same
        return lambda value: java.fit_decimal(value, precision, scale)
    return lambda value: java.fit_decimal(decimal.Decimal(value), precision, scale)
