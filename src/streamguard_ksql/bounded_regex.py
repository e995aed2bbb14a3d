"""Regular expressions that cannot run for ever: every match has a time limit.

Matching with backtracking may take time that grows exponentially with the text. The first attempt is short and keeps the
interpreter's lock, as that costs least; one that does not end is made again without the lock, so that all other threads
go on, and ends with a LimitExceeded at the limit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import regex

from streamguard_ksql import limits
from streamguard_ksql.errors import LimitExceeded

T = TypeVar("T")
Match = regex.Match[str]
FIRST_ATTEMPT_S = 0.05


class BoundedPattern:
    """A compiled pattern in the syntax of Python's `re`. `limit_s` is the time that one call may take, in seconds.

    `shown` is the pattern for error messages, as its author wrote it. Raises regex.error for what is no pattern.
    """

    def __init__(self, pattern: str, flags: int = 0, limit_s: float = limits.REGEXP_TIMEOUT_MS / 1000, shown: str = ""):
        self._pattern = regex.compile(pattern, flags | regex.VERSION0, cache_pattern=False)
        self._limit_s = limit_s
        self._shown = shown or pattern
        self.groups: int = self._pattern.groups

    def search(self, text: str) -> Match | None:
        return self._run(text, lambda **how: self._pattern.search(text, **how))

    def fullmatch(self, text: str) -> Match | None:
        return self._run(text, lambda **how: self._pattern.fullmatch(text, **how))

    def find_all(self, text: str) -> list[Match]:
        """All matches, from left to right, that do not overlap."""
        return self._run(text, lambda **how: list(self._pattern.finditer(text, **how)))

    def _run(self, text: str, match: Callable[..., T]) -> T:
        how: dict[str, Any] = {"timeout": min(FIRST_ATTEMPT_S, self._limit_s), "concurrent": False}
        try:
            return match(**how)
        except TimeoutError:
            pass
        try:
            return match(timeout=self._limit_s, concurrent=True)
        except TimeoutError:
            raise LimitExceeded(
                f"The regular expression {_short(self._shown)} took longer than {self._limit_s * 1000:.0f} ms on a text "
                f"of {len(text)} characters. Write it without repetitions inside of repetitions, or raise "
                f"{limits.REGEXP_TIMEOUT}."
            ) from None


def _short(pattern: str) -> str:
    return repr(pattern if len(pattern) <= 80 else pattern[:79] + "…")
