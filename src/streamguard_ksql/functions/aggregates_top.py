"""TOPK, with or without further columns, and TOPKDISTINCT."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from streamguard_ksql.codegen import Expression
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.functions.registry import CallSite, aggregate
from streamguard_ksql.ordering import order_of
from streamguard_ksql.types import Array, SqlType, Struct


def _limit(site: CallSite) -> int:
    limit: int = site.literals[len(site.types) - 1]
    if limit < 1:
        raise KsqlError("the number of values to keep must be 1 or greater")
    return limit


def _top_type(types: Sequence[SqlType | None], literals: Mapping[int, Any]) -> SqlType | None:
    """ARRAY<T>, or with further columns ARRAY<STRUCT<sort_col T, col0 .., col1 ..>>."""
    first, others = types[0], types[1:-1]
    if first is None:
        return None
    if not others:
        return Array(first)
    columns = tuple((f"col{index}", other) for index, other in enumerate(others) if other is not None)
    return Array(Struct((("sort_col", first), *columns)))


def _array(types: Sequence[SqlType | None], literals: Mapping[int, Any]) -> SqlType | None:
    return types[0] and Array(types[0])


@aggregate(
    "TOPK",
    *(f"(val1 {word}, val2 ANY..., k INT) -> ARRAY<S>" for word in ("DOUBLE", "INT", "BIGINT", "VARCHAR")),
    returns=_top_type,
    constants=1,
    description="The k largest values, largest first; with further columns, the rows that have them.",
)
class TopK:
    """State: rows [value, further columns...], largest first; of equal ones the earlier row first."""

    def __init__(self, site: CallSite) -> None:
        self._limit = _limit(site)
        names = ["sort_col", *(f"col{index}" for index in range(len(site.types) - 2))]
        self._names = names if len(names) > 1 else None

    initial = Expression("[]")

    def add(self, state: list[Any], value: Any) -> list[Any]:
        row = [value] if self._names is None else value
        top = row[0]
        if top is None or (len(state) == self._limit and state[-1][0] >= top):
            return state
        place = len(state)
        while place and state[place - 1][0] < top:
            place -= 1
        state.insert(place, list(row))
        del state[self._limit :]
        return state

    def merge(self, left: list[Any], right: list[Any]) -> list[Any]:
        return sorted(left + right, key=lambda row: row[0], reverse=True)[: self._limit]

    def result(self, state: list[Any]) -> list[Any]:
        if self._names is None:
            return [row[0] for row in state]
        return [dict(zip(self._names, row, strict=True)) for row in state]


_WORDS = ("BIGINT", "INT", "DOUBLE", "DECIMAL", "BYTES", "DATE", "TIME", "TIMESTAMP", "VARCHAR")


@aggregate(
    "TOPKDISTINCT",
    *(f"(val1 {word}, k INT) -> ARRAY<{word}>" for word in _WORDS),
    returns=_array,
    constants=1,
    description="The k largest different values, largest first.",
)
class TopKDistinct:
    """State: the values, smallest first."""

    def __init__(self, site: CallSite) -> None:
        self._limit = _limit(site)
        self._order = order_of(site.types[0]) or (lambda value: value)

    initial = Expression("[]")

    def add(self, state: list[Any], value: Any) -> list[Any]:
        if value is not None and value not in state:
            state.insert(bisect_right(state, self._order(value), key=self._order), value)
            if len(state) > self._limit:
                del state[0]
        return state

    def merge(self, left: list[Any], right: list[Any]) -> list[Any]:
        for value in right:
            left = self.add(left, value)
        return left

    result = Expression("{state}[::-1]", "state")
