"""REGEXP_EXTRACT, REGEXP_EXTRACT_ALL, REGEXP_REPLACE, REGEXP_SPLIT_TO_ARRAY, with Java's regular expressions.

A match that takes longer than `ksql.functions.regexp.timeout.ms` ends the query with a LimitExceeded.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from streamguard_ksql.bounded_regex import BoundedPattern
from streamguard_ksql.errors import EvaluationError
from streamguard_ksql.functions import java_regex
from streamguard_ksql.functions.registry import CallSite, scalar
from streamguard_ksql.functions.sizes import check_text
from streamguard_ksql.java import from_units, units
from streamguard_ksql.limits import regexp_s

REGEX = "REGULAR EXPRESSION"
_replacement = lru_cache(maxsize=256)(java_regex.replacement)


def _compiler(site: CallSite) -> Callable[[str], BoundedPattern]:
    """The compiler of patterns with the time limit of the call site."""
    limit_s = regexp_s(site.config)
    return lambda pattern: java_regex.compile_java(pattern, limit_s)


def _with_group(compiled: BoundedPattern, group: int) -> BoundedPattern:
    """The pattern; EvaluationError if it has no such group."""
    if not 0 <= group <= compiled.groups:
        raise EvaluationError(f"No group {group}")
    return compiled


@scalar(
    "REGEXP_EXTRACT",
    "(pattern VARCHAR, input VARCHAR) -> VARCHAR",
    "(pattern VARCHAR, input VARCHAR, group INT) -> VARCHAR",
    category=REGEX,
    bind=True,
    description="The first part of the input that matches a pattern, or one group of it; NULL if none does.",
)
def bind_extract(site: CallSite) -> Callable[..., str | None]:
    compiled = _compiler(site)

    def extract(pattern: str, text: str, group: int = 0) -> str | None:
        match = _with_group(compiled(pattern), group).search(text)
        return match.group(group) if match else None

    return extract


@scalar(
    "REGEXP_EXTRACT_ALL",
    "(pattern VARCHAR, input VARCHAR) -> ARRAY<VARCHAR>",
    "(pattern VARCHAR, input VARCHAR, group INT) -> ARRAY<VARCHAR>",
    category=REGEX,
    bind=True,
    description="All parts of the input that match a pattern, or one group of each.",
)
def bind_extract_all(site: CallSite) -> Callable[..., list[str | None]]:
    compiled = _compiler(site)

    def extract_all(pattern: str, text: str, group: int = 0) -> list[str | None]:
        return [match.group(group) for match in _with_group(compiled(pattern), group).find_all(text)]

    return extract_all


@scalar(
    "REGEXP_REPLACE",
    "(str VARCHAR, regexp VARCHAR, newStr VARCHAR) -> VARCHAR",
    category=REGEX,
    bind=True,
    description="The string with every match of a pattern replaced; $1 is a group.",
)
def bind_replace(site: CallSite) -> Callable[[str, str, str], str]:
    compiled = _compiler(site)

    def replace(text: str, pattern: str, new: str) -> str:
        expand = _replacement(new)
        if not pattern:
            text = units(text)  # what is empty is found between the halves of a surrogate pair too
        parts, end, size = [], 0, len(text)
        for match in compiled(pattern).find_all(text):
            parts += [text[end : match.start()], expand(match)]
            end = match.end()
            size += len(parts[-1])
            check_text("REGEXP_REPLACE", size)
        return from_units("".join([*parts, text[end:]]))

    return replace


@scalar(
    "REGEXP_SPLIT_TO_ARRAY",
    "(string VARCHAR, regexp VARCHAR) -> ARRAY<VARCHAR>",
    category=REGEX,
    bind=True,
    description="The parts between the matches of a pattern; every character on its own if the pattern is empty.",
)
def bind_split(site: CallSite) -> Callable[[str, str], list[str]]:
    compiled = _compiler(site)

    def split(text: str, pattern: str) -> list[str]:
        if not pattern:
            return list(units(text)) or [""]
        splitter = compiled(pattern)
        if splitter.fullmatch(""):
            raise EvaluationError(f"The pattern may not match the empty string: {pattern}")
        parts, end = [], 0
        for match in splitter.find_all(text):
            parts.append(text[end : match.start()])
            end = match.end()
        return [*parts, text[end:]]

    return split
