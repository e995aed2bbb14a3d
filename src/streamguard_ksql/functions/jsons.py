"""Functions of JSON texts."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any

from streamguard_ksql.errors import EvaluationError
from streamguard_ksql.functions import json_text
from streamguard_ksql.functions.registry import CallSite, scalar

JSON = "JSON"
_PATH_STEP = re.compile(r"\.([^.\[\]]+)|\[(-?\d{1,18})\]|\[(?:'([^']*)'|\"([^\"]*)\")\]")


@lru_cache(maxsize=256)
def _steps(path: str) -> tuple[str | int, ...]:
    """`$.a['b'][0]` as ('a', 'b', 0); EvaluationError for a path of another form (wildcards are not supported)."""
    if not path.startswith("$"):
        raise EvaluationError(f"Invalid JSON path: {path}")
    steps: list[str | int] = []
    position = 1
    while position < len(path):
        match = _PATH_STEP.match(path, position)
        if match is None or match.group(1) == "*":
            raise EvaluationError(f"Invalid JSON path: {path}")
        index = match.group(2)
        steps.append(int(index) if index else next(g for g in match.group(1, 3, 4) if g is not None))
        position = match.end()
    return tuple(steps)


_MISSING = object()
"""What is at a path that is not there: a JSON null is there."""


def _walk(value: Any, steps: tuple[str | int, ...]) -> Any:
    for step in steps:
        if isinstance(step, int) and isinstance(value, list) and 0 <= step < len(value):
            value = value[step]
        elif isinstance(value, dict) and str(step) in value:
            value = value[str(step)]
        else:
            return _MISSING
    return value


@scalar(
    "EXTRACTJSONFIELD",
    "(input VARCHAR, path VARCHAR) -> VARCHAR",
    category=JSON,
    description="The value at a path ($.a.b[0]) of a JSON text: a string itself, anything else as JSON, `null` too.",
)
def extract_field(text: str, path: str) -> str | None:
    if not text and not _steps(path):
        return ""  # an empty text is no JSON, but it is there
    found = _walk(json_text.read(text), _steps(path))
    if found is _MISSING:
        return None
    return found if isinstance(found, str) else json_text.write(found)


def _equal(item: Any, value: Any) -> bool:
    """Of the same kind and equal: 1 is neither true nor '1'."""
    if isinstance(item, bool) or isinstance(value, bool) or item is None or value is None:
        return item is value
    if isinstance(value, float):
        return isinstance(item, Decimal) and float(item) == value
    return isinstance(item, int | Decimal) == isinstance(value, int | Decimal) and bool(item == value)


@scalar(
    "JSON_ARRAY_CONTAINS",
    "(jsonArray VARCHAR, val T) -> BOOLEAN",
    category=JSON,
    nulls="pass",
    description="Whether a value, NULL too, is in a JSON array; false where the text is no array.",
)
def array_contains(text: str | None, value: Any) -> bool | None:
    if text is None:
        return None
    try:
        items = json_text.read(text)
    except json_text.NotJson:
        return False
    return isinstance(items, list) and any(_equal(item, value) for item in items)


@scalar(
    "IS_JSON_STRING",
    "(input VARCHAR) -> BOOLEAN",
    category=JSON,
    nulls="pass",
    description="Whether the text is a JSON value.",
)
def is_json(text: str | None) -> bool:
    if text is None:
        return False
    try:
        json_text.read(text)
    except json_text.NotJson:
        return False
    return True


@scalar("JSON_ARRAY_LENGTH", "(jsonArray VARCHAR) -> INT", category=JSON, description="The length of a JSON array.")
def array_length(text: str) -> int | None:
    items = json_text.read(text)
    return len(items) if isinstance(items, list) else None


@scalar(
    "JSON_ITEMS",
    "(jsonItems VARCHAR) -> ARRAY<VARCHAR>",
    category=JSON,
    description="The elements of a JSON array, each as JSON.",
)
def items_of(text: str) -> list[str] | None:
    items = json_text.read(text)
    return [json_text.write(item) for item in items] if isinstance(items, list) else None


@scalar("JSON_KEYS", "(jsonObj VARCHAR) -> ARRAY<VARCHAR>", category=JSON, description="The keys of a JSON object.")
def keys_of(text: str) -> list[str] | None:
    value = json_text.read(text)
    return list(value) if isinstance(value, dict) else None


@scalar(
    "JSON_RECORDS",
    "(jsonObj VARCHAR) -> MAP<VARCHAR, VARCHAR>",
    category=JSON,
    description="The keys of a JSON object with their values: a string itself, anything else as JSON.",
)
def records_of(text: str) -> dict[str, str] | None:
    value = json_text.read(text)
    if not isinstance(value, dict):
        return None
    return {key: item if isinstance(item, str) else json_text.write(item) for key, item in value.items()}


@scalar(
    "JSON_CONCAT",
    "(jsonStrings VARCHAR...) -> VARCHAR",
    category=JSON,
    nulls="pass",
    description="Objects as one object, and anything else as one array; of equal keys the last counts.",
)
def concat(*texts: str | None) -> str | None:
    if not texts or None in texts:
        return None
    values = [json_text.read(text) for text in texts if text is not None]
    if all(isinstance(value, dict) for value in values):
        merged: dict[str, Any] = {}
        for value in values:
            merged.update(value)
        return json_text.write(merged)
    return json_text.write([item for value in values for item in (value if isinstance(value, list) else [value])])


@scalar(
    "TO_JSON_STRING",
    "(input T) -> VARCHAR",
    category=JSON,
    nulls="pass",
    bind=True,
    description="Any value as JSON.",
)
def bind_to_json(site: CallSite) -> Callable[[Any], str]:
    return json_text.writer(site.types[0])
