"""Functions of maps."""

from __future__ import annotations

from typing import Any

from streamguard_ksql.errors import EvaluationError
from streamguard_ksql.functions.registry import scalar
from streamguard_ksql.java import hash_map_order

MAP = "MAP"
Entries = dict[Any, Any]


@scalar("MAP_KEYS", "(input MAP<VARCHAR, T>) -> ARRAY<VARCHAR>", category=MAP, description="The keys of a map.")
def map_keys(entries: Entries) -> list[Any]:
    return hash_map_order(entries)


@scalar("MAP_VALUES", "(input MAP<VARCHAR, T>) -> ARRAY<T>", category=MAP, description="The values of a map.")
def map_values(entries: Entries) -> list[Any]:
    return [entries[key] for key in hash_map_order(entries)]


@scalar(
    "MAP_UNION",
    "(map1 MAP<VARCHAR, T>, map2 MAP<VARCHAR, T>) -> MAP<VARCHAR, T>",
    category=MAP,
    nulls="pass",
    description="The entries of both maps; of a key that both have, the value of the second.",
)
def map_union(first: Entries | None, second: Entries | None) -> Entries | None:
    if first is None or second is None:
        return second if first is None else first
    return {**first, **second}


@scalar(
    "AS_MAP",
    "(keys ARRAY<VARCHAR>, values ARRAY<T>) -> MAP<VARCHAR, T>",
    category=MAP,
    description="The map of an array of keys and an array of values; a key without a value has NULL.",
)
def as_map(keys: list[Any], values: list[Any]) -> Entries:
    return {key: values[i] if i < len(values) else None for i, key in enumerate(keys)}


_ENTRIES = (
    f"(map MAP<VARCHAR, {word}>, sorted BOOLEAN) -> ARRAY<STRUCT<K VARCHAR, V {word}>>"
    for word in ("VARCHAR", "BIGINT", "INT", "DOUBLE", "BOOLEAN")
)


@scalar(
    "ENTRIES",
    *_ENTRIES,
    category=MAP,
    description="The entries of a map as structs of K and V, sorted by key if asked.",
)
def entries_of(entries: Entries, in_order: bool) -> list[dict[str, Any]]:
    if in_order and None in entries:
        raise EvaluationError("a NULL key has no place in the order")
    keys = sorted(entries) if in_order else hash_map_order(entries)
    return [{"K": key, "V": entries[key]} for key in keys]
