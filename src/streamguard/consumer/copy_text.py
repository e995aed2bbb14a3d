"""Transactions and their records as lines of COPY's text format, made by hand: it is done for each of them.

https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

import orjson

from streamguard.models.columns import loads, storable

_SPECIAL = re.compile(r"[\\\t\n\r\x01]")
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\x01": "\\x01"}
_DAY_MS = 86_400_000
_MINUTE_MS = 60_000

_ODD = re.compile(rb"NaN|Infinity|\\u[dD][89a-fA-F]")
_TINY = re.compile(rb"[eE]-\d{3}")
_LONG = 16_000
"""Bytes. Above this there is room for a number with more decimal places than NUMERIC has (16,383)."""


def fields_line(values: Sequence[Any]) -> str:
    """Values as fields, nulls as \\x01, without a line break; escapes only where there is something to escape."""
    texts = [value if value.__class__ is str else "\x01" if value is None else str(value) for value in values]
    line = "\t".join(texts)
    if line.count("\t") != len(texts) - 1 or line.count("\x01") != values.count(None) or _escapable(line):
        return "\t".join("\x01" if value is None else escaped(str(value)) for value in values)
    return line


def _escapable(line: str) -> bool:
    return "\\" in line or "\n" in line or "\r" in line


def escaped(text: str) -> str:
    """A text as a field."""
    return _SPECIAL.sub(lambda found: _ESCAPES[found.group()], text) if _SPECIAL.search(text) else text


def json_field(value: bytes) -> str:
    """A record's JSON as a field of a JSONB column, without decoding it where it need not be.

    It was read before; Postgres's JSONB accepts a little less (https://www.postgresql.org/docs/current/datatype-json.html):
    no NUL and no half pair of surrogates in texts, no number that NUMERIC cannot hold, no NaN, no byte-order mark. A record
    must not be rejected for the sake of its copy.
    """
    doubtful = len(value) > _LONG or value[:1] != b"{" or b"\\u0000" in value or _ODD.search(value)
    if doubtful or ((b"e-" in value or b"E-" in value) and _TINY.search(value)):
        value = orjson.dumps(storable(loads(value)))
    text = value.decode()
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    if "\n" in text or "\t" in text or "\r" in text:
        # Between the tokens only: inside a JSON text they are escapes.
        text = text.replace("\n", " ").replace("\t", " ").replace("\r", " ")
    return text


def months_of(times_ms: Iterable[int]) -> list[date]:
    """The first days of the months, in UTC, that these instants (epoch milliseconds) fall in."""
    return sorted({_day(number).replace(day=1) for number in {ms // _DAY_MS for ms in times_ms}})


def instant_field(ms: int) -> str:
    """Epoch milliseconds as a field of a timestamp column."""
    number, ms = divmod(ms, _MINUTE_MS)
    return f"{_minute(number)}{ms / 1_000}+00"


@lru_cache(maxsize=4_096)
def _minute(number: int) -> str:
    """A minute by its number since 1970, up to where the seconds follow."""
    day, minute = divmod(number, _DAY_MS // _MINUTE_MS)
    return f"{_day(day)} {minute // 60:02d}:{minute % 60:02d}:"


def _day(number: int) -> date:
    """A day by its number since 1970."""
    return date(1970, 1, 1) + timedelta(days=number)
