"""JSON with the digits of its numbers kept: objects, one per line, and what the readers of JSON share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from streamguard.ingest.files.source import Row, Unreadable
from streamguard.ingest.files.text import shown, undecoded, undecoded_reason

RAW_MEMBER = "refused_line"
"""In a file of refused rows: the text of a line that was no object. Mended there, it is read as that line."""


class _Doubled(ValueError):
    """Two members of one name: one of the two values would be lost."""


def number(text: str) -> float | Decimal:
    """A number with a point or an exponent: a float if its text is the same, else the digits as they are."""
    value = float(text)
    return value if repr(value) == text else Decimal(text)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        raise _Doubled(f"two members have the name {next(name for name in names if names.count(name) > 1)}")
    return members


_decoder = json.JSONDecoder(parse_float=number, object_pairs_hook=_members)


def parse(text: str) -> dict[str, Any]:
    """The object in a text. Raises ValueError, whose text is the reason for a person."""
    try:
        values = _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(_reason(text, error)) from None
    except RecursionError:
        raise ValueError("its objects are nested too deeply") from None
    except _Doubled:
        raise
    except ValueError:
        raise ValueError("it has a number of more than 4,300 digits") from None
    if isinstance(values, dict):
        return values
    raise ValueError(f'an object is expected, such as {{"amount": 12.5}}, this is {_kind(values)}')


def row(line: int, text: str) -> Row | Unreadable:
    """A text as a row; one that `refused.RefusedFile` wrote as the line that it was."""
    try:
        values = parse(text)
        if RAW_MEMBER in values and isinstance(values[RAW_MEMBER], str):
            text = values[RAW_MEMBER]
            values = parse(text)
    except ValueError as error:
        return Unreadable(line, shown(text), str(error))
    return Row(line, values)


def line_rows(lines: Iterator[str], encoding: str) -> Iterator[Row | Unreadable]:
    """Rows of JSON lines; blank lines are left out."""
    for number_of_line, line in enumerate(lines, 1):
        text = line.strip(" \t\r\n\x1e\x1a")
        if not text:
            continue
        if undecoded(text):
            yield Unreadable(number_of_line, shown(text), undecoded_reason(encoding))
        else:
            yield row(number_of_line, text)


def _reason(text: str, error: json.JSONDecodeError) -> str:
    if error.msg == "Extra data" and text[error.pos :].lstrip().startswith(("{", ",")):
        return "one object per line is expected, there is more behind the first"
    if error.pos >= len(text.rstrip()):
        return "it ends before the object is closed"
    return f"no JSON: {error.msg[:1].lower()}{error.msg[1:]} at character {error.pos + 1}"


def _kind(value: Any) -> str:
    kinds = {list: "an array", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
