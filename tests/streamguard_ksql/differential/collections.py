"""Readings of the functions of arrays, maps and nulls. A lambda is a Python function."""

from __future__ import annotations

from typing import Any

from tests.streamguard_ksql.differential.reading import among, as_text, equal, in_order, need, reads, value_if


def _distinct(values: Any) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if not among(value, found):
            found.append(value)
    return found


@reads("ARRAY_LENGTH")
def array_length(array: Any) -> int:
    return len(array)


@reads("ARRAY_CONCAT", nulls=True)
def array_concat(left: Any, right: Any) -> Any:
    return None if left is None and right is None else [*(left or []), *(right or [])]


@reads("ARRAY_CONTAINS", nulls=True)
def array_contains(array: Any, value: Any) -> bool:
    need(array is not None)
    return among(value, array)


@reads("ARRAY_DISTINCT")
def array_distinct(array: Any) -> Any:
    return _distinct(array)


@reads("ARRAY_EXCEPT")
def array_except(left: Any, right: Any) -> Any:
    return [value for value in _distinct(left) if not among(value, right)]


@reads("ARRAY_INTERSECT")
def array_intersect(left: Any, right: Any) -> Any:
    return [value for value in _distinct(left) if among(value, right)]


@reads("ARRAY_UNION")
def array_union(left: Any, right: Any) -> Any:
    return _distinct([*left, *right])


@reads("ARRAY_REMOVE", nulls=True)
def array_remove(array: Any, victim: Any) -> Any:
    return None if array is None else [value for value in array if not equal(value, victim)]


@reads("ARRAY_MAX")
def array_max(array: Any) -> Any:
    return (in_order([v for v in array if v is not None]) or [None])[-1]


@reads("ARRAY_MIN")
def array_min(array: Any) -> Any:
    return (in_order([v for v in array if v is not None]) or [None])[0]


@reads("ARRAY_SORT", nulls=True)
def array_sort(array: Any, direction: Any = "ASC") -> Any:
    if array is None:
        return None
    need(direction in ("ASC", "DESC"))
    given = in_order([v for v in array if v is not None])
    return (given if direction == "ASC" else given[::-1]) + [None] * (len(array) - len(given))


@reads("ARRAY_JOIN", nulls=True, typed=True)
def array_join(kinds: Any, array: Any, delimiter: Any = ",") -> Any:
    need(delimiter is not None)
    return None if array is None else delimiter.join(as_text(v, kinds[0].removeprefix("ARRAY<")[:-1]) for v in array)


@reads("SLICE", nulls=True)
def array_slice(array: Any, first: Any, last: Any) -> Any:
    need(None not in (array, first, last) and 1 <= first <= last + 1)
    return array[first - 1 : last] if last <= len(array) else None


@reads("AS_MAP")
def as_map(keys: Any, values: Any) -> Any:
    need(len(keys) == len(set(keys)) or len(values) >= len(keys))
    return {key: values[i] if i < len(values) else None for i, key in enumerate(keys)}


@reads("MAP_UNION", nulls=True)
def map_union(left: Any, right: Any) -> Any:
    return None if left is None and right is None else {**(left or {}), **(right or {})}


@reads("MAP_KEYS")
def map_keys(given: Any) -> Any:
    return list(given)


@reads("MAP_VALUES")
def map_values(given: Any) -> Any:
    return list(given.values())


@reads("ENTRIES")
def entries(given: Any, is_sorted: bool) -> Any:
    need(is_sorted and None not in given)
    return [{"K": key, "V": given[key]} for key in in_order(list(given))]


@reads("FILTER")
def filtered(given: Any, keep: Any) -> Any:
    if isinstance(given, dict):
        return {key: value for key, value in given.items() if _true(keep(key, value))}
    return [value for value in given if _true(keep(value))]


def _true(value: Any) -> bool:
    value_if(value is not None)
    return bool(value)


@reads("TRANSFORM")
def transformed(given: Any, *bodies: Any) -> Any:
    if isinstance(given, list):
        return [bodies[0](value) for value in given]
    found = [(bodies[0](key, value), bodies[1](key, value)) for key, value in given.items()]
    need(len({key for key, _ in found}) == len(found))
    return dict(found)


@reads("REDUCE", nulls=True)
def reduced(given: Any, state: Any, body: Any) -> Any:
    if given is None or state is None:
        return state
    for element in given.items() if isinstance(given, dict) else ((value,) for value in given):
        need(state is not None)
        state = body(state, *element)
    return state


@reads("COALESCE", nulls=True)
def coalesce(*values: Any) -> Any:
    return next((v for v in values if v is not None), None)


@reads("IFNULL", nulls=True)
def if_null(value: Any, other: Any) -> Any:
    return other if value is None else value


@reads("NULLIF", nulls=True)
def null_if(value: Any, other: Any) -> Any:
    return None if equal(value, other) else value


@reads("AS_VALUE", nulls=True)
def as_value(value: Any) -> Any:
    return value
