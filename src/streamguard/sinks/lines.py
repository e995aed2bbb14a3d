"""The offsets in a file of JSON lines: of its first and of its last whole line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import orjson

from streamguard.sinks.base import SinkError

_TAIL = 1 << 16
"""Bytes read at a time from the end of a file, looking for its last line."""


def first_offset(file: Path) -> int:
    """The offset of the first line. Raises SinkError where it has none."""
    with file.open("rb") as opened:
        return _offset(file, opened.readline(), "first")


def next_offset(file: Path) -> int:
    """The offset behind the last whole line, 0 where there is none; what follows that line is removed.

    Raises SinkError where the line has no offset.
    """
    with file.open("r+b") as opened:
        end = _after_last(opened, opened.seek(0, os.SEEK_END))
        opened.truncate(end)
        if end == 0:
            return 0
        start = _after_last(opened, end - 1)
        opened.seek(start)
        line = opened.read(end - start)
    return _offset(file, line, "last") + 1


def _offset(file: Path, line: bytes, which: str) -> int:
    try:
        return int(orjson.loads(line)["offset"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise SinkError(f"{file}: its {which} line has no offset; move the file away to start anew") from None


def _after_last(opened: BinaryIO, end: int) -> int:
    """The position behind the last line break before `end`; 0 where there is none."""
    while end > 0:
        start = max(0, end - _TAIL)
        opened.seek(start)
        found = opened.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
