"""Readings of the functions of texts. Lengths and positions count UTF-16 units."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from tests.streamguard_ksql.differential.reading import need, reads, value_if

BLANK = " \t\n"
LARGEST = 1_000
"""Of a length that is asked for: the engine's documented limits are far above it."""


def units(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")


def of_units(data: bytes) -> str:
    return data.decode("utf-16-le", "surrogatepass")


def _cut(data: bytes, size: int, position: int, length: int | None) -> bytes:
    """Elements of `size` bytes from a position on, counted from 1 or, negative, from the end."""
    count = len(data) // size
    start = min(max(position - 1 if position > 0 else count + position if position < 0 else 0, 0), count)
    end = count if length is None else min(start + max(length, 0), count)
    return data[start * size : end * size]


@reads("SUBSTRING")
def substring(source: Any, position: int, length: int | None = None) -> Any:
    if isinstance(source, bytes):
        return _cut(source, 1, position, length)
    return of_units(_cut(units(source), 2, position, length))


@reads("LEN")
def length(source: Any) -> int:
    return len(source) if isinstance(source, bytes) else len(units(source)) // 2


@reads("UCASE")
def upper(text: str) -> str:
    return text.upper()


@reads("LCASE")
def lower(text: str) -> str:
    return text.lower()


@reads("TRIM")
def trim(text: str) -> str:
    return text.strip("".join(map(chr, range(33))))


@reads("INITCAP")
def capitals(text: str) -> str:
    words = re.findall(rf"[{BLANK}]*[^{BLANK}]+|[{BLANK}]+$", text.lstrip(BLANK))
    return "".join(re.sub(rf"[^{BLANK}]", lambda m: m[0].upper(), word.lower(), count=1) for word in words)


@reads("REPLACE")
def replace(text: str, old: str, new: str) -> str:
    if not old:
        pieces = [units(text)[i : i + 2] for i in range(0, len(units(text)), 2)]
        return of_units(units(new) + b"".join(piece + units(new) for piece in pieces))
    need(not any("\ud800" <= c <= "\udfff" for c in text + old))
    return text.replace(old, new)


def _padded(source: Any, size: int, padding: Any, *, left: bool) -> Any:
    if padding is None or len(padding) == 0 or (size is not None and size < 0):
        return None
    if source is None or size is None:
        return None
    need(size <= LARGEST)
    is_text = isinstance(source, str)
    step = 2 if is_text else 1
    data, fill = (units(source), units(padding)) if is_text else (source, padding)
    missing = (fill * size)[: max(size * step - len(data), 0)]
    result = (missing + data if left and missing else data[: size * step] + missing)[: size * step]
    return of_units(result) if is_text else result


@reads("LPAD", nulls=True)
def pad_left(source: Any, size: Any, padding: Any) -> Any:
    return _padded(source, size, padding, left=True)


@reads("RPAD", nulls=True)
def pad_right(source: Any, size: Any, padding: Any) -> Any:
    return _padded(source, size, padding, left=False)


@reads("CONCAT", nulls=True, typed=True)
def concat(kinds: Any, *parts: Any) -> Any:
    empty: Any = b"" if kinds[0] == "BYTES" else ""
    return empty.join(part for part in parts if part is not None)


@reads("CONCAT_WS", nulls=True)
def concat_with(separator: Any, *parts: Any) -> Any:
    value_if(parts)
    if separator is None:
        return None
    return separator.join(part for part in parts if part is not None)


@reads("INSTR", nulls=True)
def position(text: Any, part: Any, *rest: Any) -> Any:
    if None in rest:
        return None
    if text is None or part is None:
        return 0
    start, occurrence = (*rest, 1, 1)[:2] if len(rest) < 2 else rest
    need(part and occurrence >= 1 and (start != 0 or not rest))
    data, wanted = units(text), units(part)
    starts = [i // 2 for i in range(0, len(data), 2) if data[i : i + len(wanted)] == wanted]
    need(all(b - a >= len(wanted) // 2 for a, b in pairwise(starts)) or occurrence == 1)
    found = (
        [i for i in starts if i >= start - 1] if start > 0 else [i for i in starts[::-1] if i <= len(data) // 2 + start]
    )
    return found[occurrence - 1] + 1 if occurrence <= len(found) else 0


@reads("CHR")
def character(code: Any) -> Any:
    if isinstance(code, int):
        return chr(code) if 0 <= code <= 0x10FFFF else None
    match = re.fullmatch(r"\\u([0-9a-fA-F]{4})", code)
    need(match or "\\u" not in code)
    return chr(int(match[1], 16)) if match else None


@reads("ELT", nulls=True)
def element(n: Any, *texts: Any) -> Any:
    need(n is not None)
    return texts[n - 1] if 1 <= n <= len(texts) else None


@reads("FIELD", nulls=True)
def field(text: Any, *texts: Any) -> int:
    return 0 if text is None or text not in texts else texts.index(text) + 1


@reads("SPLIT")
def split(source: Any, delimiter: Any) -> Any:
    if len(delimiter):
        return source.split(delimiter)
    need(source and (isinstance(source, bytes) or all(c < "\ud800" for c in source)))
    return [source[i : i + 1] for i in range(len(source))]


@reads("SPLIT_TO_MAP")
def split_to_map(text: str, entries: str, pairs: str) -> Any:
    if not entries or not pairs:
        return None
    found = [entry.split(pairs) for entry in text.split(entries)]
    need(all((len(entry) == 2 and entry[0] and entry[1]) or entry == [""] for entry in found))
    return {entry[0]: entry[1] for entry in found if len(entry) == 2}
