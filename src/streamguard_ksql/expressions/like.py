"""LIKE: `%` is any text, `_` any character.

The parts between the `%` are looked for from left to right, each where it is first found: that is enough, and takes no
more time than the text's length times the pattern's, where a regular expression might try all ways to divide the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache


@lru_cache(maxsize=512)
def like_matcher(pattern: str, escape: str | None) -> Callable[[str], bool]:
    """A LIKE pattern as a predicate."""
    parts = _parts(pattern, escape)
    first, *others = [re.compile("".join(part), re.DOTALL) for part in parts]
    if not others:
        return lambda text: first.fullmatch(text) is not None
    *middle, last = others
    length = len(parts[-1])

    def matches(text: str) -> bool:
        found = first.match(text)
        for part in middle:
            if found is None:
                return False
            found = part.search(text, found.end())
        end = len(text) - length
        return found is not None and found.end() <= end and last.match(text, end) is not None

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
            parts[-1].append("." if c == "_" else re.escape(c))
    return parts
