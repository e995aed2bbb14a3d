"""A record's JSON as a field of COPY into a JSONB column, without decoding it where it need not be.

orjson has accepted it before; Postgres's JSONB accepts a little less (https://www.postgresql.org/docs/current/datatype-json.html):
no NUL in texts, no number that NUMERIC cannot hold. Such a record must not be refused for the sake of its copy.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

_TINY = re.compile(rb"[eE]-\d{3}")
_LONG = 16_000
"""Bytes. Above this there is room for a number with more decimal places than NUMERIC has (16,383)."""


def raw_field(value: bytes) -> str:
    """The field, escaped for COPY's text format."""
    doubtful = len(value) > _LONG or b"\\u0000" in value
    if doubtful or ((b"e-" in value or b"E-" in value) and _TINY.search(value)):
        value = orjson.dumps(_without_nul(orjson.loads(value)))
    text = value.decode()
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    if "\n" in text or "\t" in text or "\r" in text:
        # Between the tokens only: inside a JSON text they are escapes.
        text = text.replace("\n", " ").replace("\t", " ").replace("\r", " ")
    return text


def _without_nul(value: Any) -> Any:
    """NUL becomes U+FFFD, the sign for what cannot be shown."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {name.replace("\x00", "\ufffd"): _without_nul(item) for name, item in value.items()}
    return value
