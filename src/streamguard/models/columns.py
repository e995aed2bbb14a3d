"""JSON values as ksqlDB reads them into columns: a number from its text, any value into a text, a fraction cut to a whole number.

The SQL rules see a record as these columns, so the consumer reads it alike: what one of them takes the other does not refuse.
Reading begins where a record does not fit its model as it is; most fit, and cost nothing more.

Source: docs/reference/serialization.md, "JSON", of the ksqlDB manual; java.lang.Double.valueOf and Long.parseLong.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import orjson

REPLACEMENT = "\ufffd"
"""Stands for what the database cannot keep in a text: NUL, and half a pair of surrogates."""

_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")
_DOUBLE = re.compile(r"[\x00- ]*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[fFdD]?[\x00- ]*")
_LONG = re.compile(r"\s*([+-]?)0*(\d{1,40})\s*")
"""Python reads no text of thousands of digits as a number, and no field takes one."""


def loads(data: bytes) -> Any:
    """The first JSON value in `data`, as ksqlDB reads it; ValueError where there is none.

    Byte-order marks and unpaired surrogates are read; NaN and Infinity are no JSON.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return _loads(data, str(error), float)


def exact_loads(data: bytes) -> Any:
    """The same, with fractions as decimals: a text shows their digits as they are written."""
    return _loads(data, "no JSON", Decimal)


def _loads(data: bytes, reason: str, parse_float: Callable[[str], Any]) -> Any:
    decoder = json.JSONDecoder(parse_float=parse_float, parse_constant=_no_number)
    try:
        text = data.decode(json.detect_encoding(data), "surrogatepass")
        return decoder.raw_decode(text.lstrip(" \t\r\n"))[0]
    except _NoNumberError:
        raise
    except (ValueError, RecursionError, ArithmeticError):
        raise ValueError(reason) from None


class _NoNumberError(ValueError):
    """NaN, or an infinity."""


def _no_number(word: str) -> Any:
    raise _NoNumberError(f"{word} is no number in JSON: null, or no field at all, says that there is none")


def text_of(value: Any) -> Any:
    """A STRING column: any JSON value as its text."""
    if isinstance(value, str):
        return _NOT_STORABLE.sub(REPLACEMENT, value)
    if value is None or isinstance(value, bool):
        return {None: None, True: "true", False: "false"}[value]
    return _NOT_STORABLE.sub(REPLACEMENT, _shown(value))


def _shown(value: Any) -> str:
    """An array as `[a, b]`, of the texts of its elements; anything else as JSON."""
    if isinstance(value, list):
        return f"[{', '.join(item if isinstance(item, str) else _shown(item) for item in value)}]"
    return _json(value)


def _json(value: Any) -> str:
    if isinstance(value, float):
        return _java_double(value)
    if isinstance(value, Decimal):
        return str(value or value.copy_abs())
    if isinstance(value, list):
        return f"[{','.join(map(_json, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{_json(name)}:{_json(item)}' for name, item in value.items())}}}"
    return json.dumps(value, ensure_ascii=False)


def double_of(value: Any) -> Any:
    """A DOUBLE column: a number, or the text of one. What is neither is returned as it is."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, str) and (found := _DOUBLE.fullmatch(value)):
        return float(found.group(1))
    return value


def long_of(value: Any) -> Any:
    """A BIGINT column: a whole number, the text of one, or a fraction without its places. Anything else as it is."""
    if isinstance(value, Decimal):
        value = float(value) if value.adjusted() > 400 else int(value)
    if isinstance(value, float) and math.isfinite(value):
        return int(value)
    if isinstance(value, str) and (found := _LONG.fullmatch(value)):
        return int(found.group(1) + found.group(2))
    return value


def storable(value: Any) -> Any:
    """A JSON value without what JSONB cannot keep: NUL and unpaired surrogates are replaced, NaN and infinities are texts."""
    if isinstance(value, str):
        return _NOT_STORABLE.sub(REPLACEMENT, value)
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(name): storable(item) for name, item in value.items()}
    return _java_double(value) if isinstance(value, float) and not math.isfinite(value) else value


READERS: Mapping[type, Callable[[Any], Any]] = {str: text_of, Decimal: double_of, float: double_of, int: long_of}
"""How a field is read, by its Python type."""


def _java_double(value: float) -> str:
    """A double as Java prints it: from 0.001 to below 10,000,000 in plain digits, else with an exponent."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return format(Decimal(repr(value)), "f")
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    first, rest = digits[0], "".join(map(str, digits[1:])) or "0"
    return f"{'-' if sign else ''}{first}.{rest}E{exponent + len(digits) - 1}"
