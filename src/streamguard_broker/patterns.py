"""Regular expressions of clients: those of RE2, matched on a thread of their own, and not for long.

Kafka uses RE2/J. What RE2 lacks (backreferences, looking around, atomic groups, possessive quantifiers) is rejected here
too; `\\Q...\\E`, `\\pN` without braces and `\\z`, which RE2 has, are not understood.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import regex

from streamguard_broker.errors import ErrorCode, KafkaError

PATTERN_SECONDS = 1.0
_THREAD = ThreadPoolExecutor(1, thread_name_prefix="pattern")
_MOST_CACHED = 1000
_TOKENS = regex.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<unknown>\(\?(?:<[=!]|P[=>]|[=!>(#|&R0-9])|[*+?}]\+)|.", regex.DOTALL
)
_UNKNOWN_ESCAPES = "123456789kgGKXRZ"


async def find_matching(pattern: str, names: Collection[str]) -> frozenset[str]:
    """The names that the whole pattern matches. Raises KafkaError INVALID_REGULAR_EXPRESSION, also for a slow one."""
    try:
        _check_syntax(pattern)
        return await asyncio.get_running_loop().run_in_executor(_THREAD, _matching, pattern, list(names))
    except (regex.error, TimeoutError) as error:
        raise KafkaError(
            ErrorCode.INVALID_REGULAR_EXPRESSION, f"The regular expression {pattern[:100]!r} failed: {error}."
        ) from error


def _check_syntax(pattern: str) -> None:
    for token in _TOKENS.finditer(pattern):
        text = token.group()
        if token.group("unknown") or (len(text) == 2 and text[0] == "\\" and text[1] in _UNKNOWN_ESCAPES):
            raise regex.error(f"{text} is not in the syntax of RE2")


def _matching(pattern: str, names: list[str]) -> frozenset[str]:
    compiled = regex.compile(pattern)
    deadline = monotonic() + PATTERN_SECONDS
    found = set()
    for name in names:
        remaining = deadline - monotonic()
        if remaining <= 0:
            raise TimeoutError("regex timed out")
        # `concurrent`: other threads go on while it matches.
        if compiled.fullmatch(name, timeout=remaining, concurrent=True):
            found.add(name)
    return frozenset(found)


class PatternCache:
    """What patterns match among names that seldom change."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[frozenset[str], frozenset[str]]] = {}

    def matching(self, pattern: str) -> frozenset[str]:
        """The names that a pattern matched when it was last refreshed; none if it never was."""
        return self._found[pattern][1] if pattern in self._found else frozenset()

    async def refresh(self, patterns: Iterable[str], names: Collection[str]) -> None:
        """Match those that have not been matched with these names. Raises KafkaError INVALID_REGULAR_EXPRESSION."""
        among = frozenset(names)
        for pattern in patterns:
            if pattern not in self._found or self._found[pattern][0] != among:
                self._found[pattern] = (among, await find_matching(pattern, among))

    def prune(self, used: Collection[str]) -> None:
        """Forget patterns that are not used, once there are many."""
        if len(self._found) > max(_MOST_CACHED, 2 * len(used)):
            self._found = {pattern: found for pattern, found in self._found.items() if pattern in used}
