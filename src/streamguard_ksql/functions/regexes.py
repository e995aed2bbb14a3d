"""REGEXP_EXTRACT, REGEXP_EXTRACT_ALL, REGEXP_REPLACE, REGEXP_SPLIT_TO_ARRAY, with Java's regular expressions."""

from __future__ import annotations

import re
from functools import lru_cache

from streamguard_ksql.errors import EvaluationError
from streamguard_ksql.functions import java_regex
from streamguard_ksql.functions.registry import scalar

REGEX = "REGULAR EXPRESSION"
_replacement = lru_cache(maxsize=256)(java_regex.replacement)


def _with_group(pattern: str, group: int) -> re.Pattern[str]:
    """The compiled pattern; EvaluationError if it has no such group."""
    compiled = java_regex.compile_java(pattern)
    if not 0 <= group <= compiled.groups:
        raise EvaluationError(f"No group {group}")
    return compiled


@scalar(
    "REGEXP_EXTRACT",
    "(pattern VARCHAR, input VARCHAR) -> VARCHAR",
    "(pattern VARCHAR, input VARCHAR, group INT) -> VARCHAR",
    category=REGEX,
    description="The first part of the input that matches a pattern, or one group of it; NULL if none does.",
)
def extract(pattern: str, text: str, group: int = 0) -> str | None:
    match = _with_group(pattern, group).search(text)
    return match.group(group) if match else None


@scalar(
    "REGEXP_EXTRACT_ALL",
    "(pattern VARCHAR, input VARCHAR) -> ARRAY<VARCHAR>",
    "(pattern VARCHAR, input VARCHAR, group INT) -> ARRAY<VARCHAR>",
    category=REGEX,
    description="All parts of the input that match a pattern, or one group of each.",
)
def extract_all(pattern: str, text: str, group: int = 0) -> list[str | None]:
    return [match.group(group) for match in _with_group(pattern, group).finditer(text)]


@scalar(
    "REGEXP_REPLACE",
    "(str VARCHAR, regexp VARCHAR, newStr VARCHAR) -> VARCHAR",
    category=REGEX,
    description="The string with every match of a pattern replaced; $1 is a group.",
)
def replace(text: str, pattern: str, new: str) -> str:
    return java_regex.compile_java(pattern).sub(_replacement(new), text)


@scalar(
    "REGEXP_SPLIT_TO_ARRAY",
    "(string VARCHAR, regexp VARCHAR) -> ARRAY<VARCHAR>",
    category=REGEX,
    description="The parts between the matches of a pattern; every character on its own if the pattern is empty.",
)
def split(text: str, pattern: str) -> list[str]:
    if not pattern:
        return list(text) or [""]
    compiled = java_regex.compile_java(pattern)
    if compiled.fullmatch(""):
        raise EvaluationError(f"The pattern may not match the empty string: {pattern}")
    parts, end = [], 0
    for match in compiled.finditer(text):
        parts.append(text[end : match.start()])
        end = match.end()
    return [*parts, text[end:]]
