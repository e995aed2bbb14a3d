"""DELIMITED: one line of comma-separated values, quoted where needed, NULL as nothing.

Source: docs/reference/serialization.md, "Delimited"; quoting as RFC 4180.
"""

from __future__ import annotations

import base64
import binascii
import csv
import decimal
import io
from collections.abc import Callable, Sequence
from typing import Any

from streamguard_ksql.errors import KsqlError, SerializationError
from streamguard_ksql.formats.base import Deserializer, Format, FormatOptions, Serializer, register
from streamguard_ksql.java import decimal_to_string, double_to_string, fit_decimal
from streamguard_ksql.schema import Column
from streamguard_ksql.types import BIGINT_MAX, BIGINT_MIN, INT_MAX, INT_MIN, Decimal, SqlType

SPECIAL_DELIMITERS = {"TAB": "\t", "SPACE": " "}


def delimiter_of(options: FormatOptions) -> str:
    """The delimiter character; KsqlError for one that is empty, blank or longer than a character."""
    text = options.delimiter
    if text is None:
        return ","
    if text.upper() in SPECIAL_DELIMITERS:
        return SPECIAL_DELIMITERS[text.upper()]
    if not text.strip():
        raise KsqlError(
            "Delimiter cannot be empty, if you meant to have a tab or space for delimiter, "
            "please use the special values 'TAB' or 'SPACE'\nExample valid value: ';'"
        )
    if len(text) != 1:
        raise KsqlError(
            f"Invalid delimiter value: '{text}'. Delimiter must be a single character or TAB,SPACE\nExample valid value: ';'"
        )
    return text


@register
class DelimitedFormat(Format):
    name = "DELIMITED"
    supported_types = frozenset(
        {"BOOLEAN", "INTEGER", "BIGINT", "DOUBLE", "DECIMAL", "STRING", "BYTES", "DATE", "TIME", "TIMESTAMP"}
    )
    supports_delimiter = True

    def serializer(self, columns: Sequence[Column], options: FormatOptions, *, key: bool) -> Serializer:
        delimiter = delimiter_of(options)
        writers = [_writer(c.type) for c in columns]

        def write(row: Sequence[Any]) -> bytes | None:
            if key and len(row) == 1 and row[0] is None:
                return None
            fields = [
                "" if value is None else _quoted(to_text(value), delimiter, first=i == 0)
                for i, (value, to_text) in enumerate(zip(row, writers, strict=True))
            ]
            return delimiter.join(fields).encode("utf-8", "replace")

        return write

    def deserializer(self, columns: Sequence[Column], options: FormatOptions, *, key: bool) -> Deserializer:
        delimiter = delimiter_of(options)
        readers = [_reader(c) for c in columns]
        width = len(columns)

        def read(data: bytes) -> list[Any]:
            text = data.decode("utf-8", "replace")
            if '"' in text:
                try:
                    fields = next(csv.reader(io.StringIO(text), delimiter=delimiter), [""])
                except csv.Error as error:
                    raise SerializationError(f"Failed to read a line of CSV: {error}") from error
            else:
                fields = text.split("\n", 1)[0].rstrip("\r").split(delimiter)
            if len(fields) != width:
                raise SerializationError(f"Unexpected field count, csvFields:{len(fields)} schemaFields:{width}")
            return [None if field == "" else from_text(field) for field, from_text in zip(fields, readers, strict=True)]

        return read


def _writer(sql_type: SqlType) -> Callable[[Any], str]:
    match sql_type.base:
        case "STRING":
            return str
        case "BOOLEAN":
            return lambda value: "true" if value else "false"
        case "DOUBLE":
            return double_to_string
        case "DECIMAL":
            return decimal_to_string
        case "BYTES":
            return lambda value: base64.b64encode(value).decode()
        case _:
            return str


def _quoted(text: str, delimiter: str, *, first: bool) -> str:
    """A field in double quotes where a reader could misread it: as minimal quoting of Apache Commons CSV does it.

    The first field of a line is quoted also if it is empty or does not begin with a letter or digit.
    """
    if not text:
        return '""' if first else ""
    odd_start = not (text[0].isascii() and text[0].isalnum()) if first else text[0] <= "#"
    if odd_start or text[-1] <= " " or any(c in text for c in (delimiter, '"', "\n", "\r")):
        return '"' + text.replace('"', '""') + '"'
    return text


def _reader(column: Column) -> Callable[[str], Any]:
    sql_type = column.type
    parse = _PARSERS.get(sql_type.base) or (lambda text: _to_decimal(text, sql_type))

    def read(text: str) -> Any:
        try:
            return parse(text)
        except (ValueError, ArithmeticError) as error:
            raise SerializationError(
                f"Failed to read column `{column.name}` as {sql_type} from '{text}': {error}"
            ) from error

    return read


def _to_int(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text.strip())
        if not low <= value <= high:
            raise ValueError("out of range")
        return value

    return parse


def _to_decimal(text: str, sql_type: SqlType) -> decimal.Decimal:
    assert isinstance(sql_type, Decimal)
    exact = decimal.Decimal(text.strip())
    fitted = fit_decimal(exact, sql_type.precision, sql_type.scale)
    if fitted != exact:
        raise ValueError(f"cannot fit it into {sql_type} without rounding")
    return fitted


def _to_bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error


_PARSERS: dict[str, Callable[[str], Any]] = {
    "STRING": lambda text: text,
    "BOOLEAN": lambda text: text.strip().lower() == "true",
    "INTEGER": _to_int(INT_MIN, INT_MAX),
    "BIGINT": _to_int(BIGINT_MIN, BIGINT_MAX),
    "DATE": _to_int(INT_MIN, INT_MAX),
    "TIME": _to_int(INT_MIN, INT_MAX),
    "TIMESTAMP": _to_int(BIGINT_MIN, BIGINT_MAX),
    "DOUBLE": lambda text: float(text.strip()),
    "BYTES": _to_bytes,
}
