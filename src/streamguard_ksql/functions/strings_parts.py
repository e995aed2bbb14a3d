"""Parts of strings and bytes: SUBSTRING, INSTR, SPLIT, SPLIT_TO_MAP; and characters by code."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import AnyStr

from streamguard_ksql.codegen import Expression
from streamguard_ksql.errors import EvaluationError
from streamguard_ksql.functions.registry import CallSite, scalar
from streamguard_ksql.java import from_units, units

STRING = "STRING"
LEGACY_SUBSTRING = "ksql.functions.substring.legacy.args"


def substring(value: AnyStr, position: int, length: int | None = None) -> AnyStr:
    """From `position` (1 is the first, -1 the last; 0 counts as 1) so many as `length`, or to the end."""
    if not value.isascii() and isinstance(value, str):
        return from_units(_part(units(value), position, length))
    return _part(value, position, length)


def _part(value: AnyStr, position: int, length: int | None) -> AnyStr:
    start = max(len(value) + position, 0) if position < 0 else min(max(position - 1, 0), len(value))
    return value[start:] if length is None else value[start : max(start, start + length)]


def _legacy_substring(value: AnyStr, start: int, end: int | None = None) -> AnyStr:
    """As before ksqlDB 5.1: a start from 0 and an end, both inside the string."""
    stop = len(value) if end is None else end
    if not 0 <= start <= stop <= len(value):
        raise EvaluationError(f"begin {start}, end {stop}, length {len(value)}")
    return value[start:stop]


@scalar(
    "SUBSTRING",
    "(str VARCHAR, pos INT, length INT) -> VARCHAR",
    "(bytes BYTES, pos INT, length INT) -> BYTES",
    "(bytes BYTES, pos INT) -> BYTES",
    "(str VARCHAR, pos INT) -> VARCHAR",
    category=STRING,
    bind=True,
    description="The part from a position, from 1 or backwards from -1, of a length or up to the end.",
)
def bind_substring(site: CallSite) -> Callable[..., str | bytes]:
    legacy = str(site.config.get(LEGACY_SUBSTRING, False)).lower() == "true"
    return _legacy_substring if legacy else substring


_REMEMBERED = 1024


class _Places(dict[str | None, int]):
    """Where texts begin in one text, from 1: of those that were searched last."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def __missing__(self, searched: str | None) -> int:
        if len(self) >= _REMEMBERED:
            self.clear()
        place = self[searched] = _first_place(self._text, searched)
        return place


@scalar("INSTR", "(str VARCHAR, substring VARCHAR) -> INT", category=STRING, bind=True, nulls="pass")
def bind_instr(site: CallSite) -> Callable[[str | None, str | None], int]:
    """In a literal, a list of codes for example, the places of the last texts are remembered."""
    text = site.literals.get(0)
    if not isinstance(text, str):
        return _first_place
    return Expression("{places}[{searched}]", "text", "searched", places=_Places(text))


def _first_place(text: str | None, searched: str | None) -> int:
    """NULL is nowhere, as is everything in an empty text."""
    if not text or searched is None:
        return 0
    place = text.find(searched)
    return place + 1 if place <= 0 or text.isascii() else len(units(text[:place])) + 1


@scalar(
    "INSTR",
    "(str VARCHAR, substring VARCHAR, position INT, occurrence INT) -> INT",
    "(str VARCHAR, substring VARCHAR, position INT) -> INT",
    category=STRING,
    nulls="pass",
    description="Where the n-th occurrence of a text begins, from 1, searched from a position on; 0 if nowhere.",
)
def instr(text: str | None, searched: str | None, position: int | None = 1, occurrence: int | None = 1) -> int | None:
    """A negative position counts from the end and searches towards the beginning. NULL is nowhere, as in an empty text."""
    if position is None or occurrence is None:
        return None
    if not text or searched is None or position == 0 or occurrence < 1:
        return 0
    if not text.isascii():
        text, searched = units(text), units(searched)
    if position < 0:
        return _instr_backwards(text, searched, len(text) + position, occurrence)
    found = position - 2
    for _ in range(occurrence):
        found = text.find(searched, found + 1)
        if found < 0:
            return 0
    return found + 1


def _instr_backwards(text: str, searched: str, start: int, occurrence: int) -> int:
    found = start + 1
    for _ in range(occurrence):
        found = text.rfind(searched, 0, found - 1 + len(searched)) if found > 0 else -1
        if found < 0:
            return 0
    return found + 1


@scalar(
    "SPLIT",
    "(string VARCHAR, delimiter VARCHAR) -> ARRAY<VARCHAR>",
    category=STRING,
    description="The parts between the delimiters; every character on its own if the delimiter is empty.",
)
def split(text: str, delimiter: str) -> list[str]:
    if delimiter:
        return text.split(delimiter)
    return list(units(text)) or [""]


@scalar("SPLIT", "(bytes BYTES, delimiter BYTES) -> ARRAY<BYTES>", category=STRING)
def split_bytes(value: bytes, delimiter: bytes) -> list[bytes]:
    if delimiter:
        return value.split(delimiter)
    return [value[i : i + 1] for i in range(len(value))] or [b""]


@scalar(
    "SPLIT_TO_MAP",
    "(input VARCHAR, entryDelimiter VARCHAR, kvDelimiter VARCHAR) -> MAP<VARCHAR, VARCHAR>",
    category=STRING,
    description="The pairs of keys and values in a string; what has no value is left out.",
)
def split_to_map(text: str, entry_delimiter: str, value_delimiter: str) -> dict[str, str] | None:
    if not entry_delimiter or not value_delimiter:
        return None
    pairs = (entry.split(value_delimiter) for entry in text.split(entry_delimiter) if entry)
    return {pair[0]: pair[1] for pair in pairs if len(pair) > 1}


@scalar("CHR", "(decimalCode INT) -> VARCHAR", category=STRING, description="The character of a Unicode code point.")
def character(code: int) -> str | None:
    return chr(code) if 0 <= code <= 0x10FFFF else None


_UTF16_CODE = re.compile(r"\\u([0-9a-fA-F]{4})(?:\\u([0-9a-fA-F]{4}))?")


@scalar("CHR", "(utf16Code VARCHAR) -> VARCHAR", category=STRING)
def character_of_escape(escape: str) -> str | None:
    r"""Of `\u0041`, or of a surrogate pair as two such codes."""
    match = _UTF16_CODE.fullmatch(escape)
    if match is None:
        return None
    units = bytes.fromhex("".join(code for code in match.groups() if code))
    try:
        text = units.decode("utf-16-be")
    except UnicodeDecodeError:
        return None
    return text if len(text) == 1 else None


@scalar("UUID", "() -> VARCHAR", category=STRING, description="A random UUID, or the one in 16 bytes.")
def random_uuid() -> str:
    return str(uuid.uuid4())


@scalar("UUID", "(bytes BYTES) -> VARCHAR", category=STRING)
def uuid_of_bytes(value: bytes) -> str | None:
    return str(uuid.UUID(bytes=value)) if len(value) == 16 else None
