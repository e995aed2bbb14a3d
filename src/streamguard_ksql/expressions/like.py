"""LIKE: `%` is any text, `_` any UTF-16 unit, neither of them the end of a line.

The parts between the `%` are looked for from left to right, each where it is first found: that is enough, and takes no
more time than the text's length times the pattern's, where a regular expression might try all ways to divide the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from streamguard_ksql.java import units

_LINE_END = re.compile(r"[\n\r\u0085\u2028\u2029]")
_NO_LINE_END = r"[^\n\r\u0085\u2028\u2029]"


@lru_cache(maxsize=512)
def like_matcher(pattern: str, escape: str | None) -> Callable[[str], bool]:
    """A LIKE pattern as a predicate."""
    parts = _parts(units(pattern), escape)
    first, *others = [re.compile("".join(part)) for part in parts]
    if not others:
        return lambda text: first.fullmatch(units(text)) is not None
    *middle, last = others
    length = len(parts[-1])

    def matches(text: str) -> bool:
        text = units(text)
        found = first.match(text)
        for part in middle:
            if found is None:
                return False
            behind, found = found.end(), part.search(text, found.end())
            # The first place is the only one: to a later one the text between would have the same end of a line.
            if found is None or _LINE_END.search(text, behind, found.start()):
                return False
        end = len(text) - length
        if found is None or found.end() > end or last.match(text, end) is None:
            return False
        return _LINE_END.search(text, found.end(), end) is None

    return matches


def like(text: str, pattern: str, escape: str | None) -> bool:
    return like_matcher(pattern, escape)(text)


def _parts(pattern: str, escape: str | None) -> list[list[str]]:
    """The parts between the `%`: for each character the regular expression that matches one."""
    parts: list[list[str]] = [[]]
    characters = iter(pattern)
    for c in characters:
        if escape is not None and c == escape:
            parts[-1] += map(re.escape, next(characters, ""))
        elif c == "%":
            parts.append([])
        else:
            parts[-1].append(_NO_LINE_END if c == "_" else re.escape(c))
    return parts
