"""Readings of regular expressions and masks."""

from __future__ import annotations

import re
from typing import Any

from tests.streamguard_ksql.differential.reading import need, reads, value_if

DEFAULT_MASKS = ("X", "x", "n", "-")


@reads("REGEXP_EXTRACT", nulls=True)
def extract(pattern: Any, text: Any, *group: Any) -> Any:
    found = extract_all(pattern, text, *group)
    return found[0] if found else None


@reads("REGEXP_EXTRACT_ALL", nulls=True)
def extract_all(pattern: Any, text: Any, *group: Any) -> Any:
    if pattern is None or text is None or None in group:
        return None
    number = group[0] if group else 0
    compiled = re.compile(pattern)
    need(0 <= number <= compiled.groups and not compiled.match(""))
    return [match[number] for match in compiled.finditer(text)]


@reads("REGEXP_REPLACE")
def replace(text: str, pattern: str, new: str) -> str:
    need("$" not in new and "\\" not in new and not re.match(pattern, ""))
    return re.sub(pattern, new, text)


@reads("REGEXP_SPLIT_TO_ARRAY")
def split(text: str, pattern: str) -> list[str]:
    need(text and all(c < "\ud800" for c in text))
    if not pattern:
        return list(text)
    need(not re.match(pattern, ""))
    return re.split(pattern.replace("(", "(?:"), text)


def _masked(text: str, masks: Any) -> str:
    need(all(c < "\ud800" for c in text))
    need(all(mask is None or len(mask) == 1 for mask in masks))
    return "".join(_mask_of(c, masks) or c for c in text)


def _mask_of(c: str, masks: Any) -> Any:
    return masks[0 if c.isupper() else 1 if c.islower() else 2 if c.isdigit() else 3]


def _parts(text: str, number: int, *, left: bool) -> tuple[str, str]:
    value_if(number >= 0)
    cut = min(number, len(text)) if left else max(len(text) - number, 0)
    return text[:cut], text[cut:]


@reads("MASK", nulls=True)
def mask(text: Any, *masks: Any) -> Any:
    return None if text is None else _masked(text, masks or DEFAULT_MASKS)


def _reads_part(name: str, *, left: bool, masks_first: bool) -> None:
    def part(text: Any, number: Any, *masks: Any) -> Any:
        need(number is not None and (text is not None or number >= 0))
        value_if(number >= 0)
        if text is None:
            return None
        first, second = _parts(text, number, left=left)
        used = masks or DEFAULT_MASKS
        return _masked(first, used) + second if masks_first else first + _masked(second, used)

    reads(name, nulls=True)(part)


_reads_part("MASK_LEFT", left=True, masks_first=True)
_reads_part("MASK_RIGHT", left=False, masks_first=False)
_reads_part("MASK_KEEP_LEFT", left=True, masks_first=False)
_reads_part("MASK_KEEP_RIGHT", left=False, masks_first=True)
