"""COLLECT_LIST, COLLECT_SET, HISTOGRAM, ATTR, COUNT_DISTINCT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamguard_ksql.codegen import Expression
from streamguard_ksql.functions import sketch
from streamguard_ksql.functions.registry import CallSite, aggregate
from streamguard_ksql.types import INT_MAX

HISTOGRAM_LIMIT = 1000


def _limit(site: CallSite, name: str) -> int:
    """The setting `ksql.functions.<name>.limit`; negative or absent means as many as an array can have."""
    limit = int(site.config.get(f"ksql.functions.{name}.limit", INT_MAX))
    return INT_MAX if limit < 0 else limit


@aggregate("COLLECT_LIST", "(val1 T) -> ARRAY<T>", description="All values, NULLs too, in the order of their rows.")
class CollectList:
    """State: the list. What comes beyond the limit is left out."""

    def __init__(self, site: CallSite) -> None:
        self._limit = _limit(site, "collect_list")
        self.add: Callable[[list[Any], Any], list[Any]] = Expression(
            f"{{state}}.append({{value}}) or {{state}} if len({{state}}) < {self._limit} else {{state}}",
            "state",
            "value",
        )

    initial = Expression("[]")

    def undo(self, state: list[Any], value: Any) -> list[Any]:
        """Takes the last of the equal values out."""
        for index in range(len(state) - 1, -1, -1):
            if state[index] == value:
                del state[index]
                break
        return state

    def merge(self, left: list[Any], right: list[Any]) -> list[Any]:
        return (left + right)[: self._limit]

    def result(self, state: list[Any]) -> list[Any]:
        return list(state)


@aggregate("COLLECT_SET", "(val1 T) -> ARRAY<T>", description="All different values, in the order of their first rows.")
class CollectSet:
    """State: the list of what is there so far."""

    def __init__(self, site: CallSite) -> None:
        self._limit = _limit(site, "collect_set")

    initial = Expression("[]")

    def add(self, state: list[Any], value: Any) -> list[Any]:
        if len(state) < self._limit and value not in state:
            state.append(value)
        return state

    def merge(self, left: list[Any], right: list[Any]) -> list[Any]:
        for value in right:
            left = self.add(left, value)
        return left

    def result(self, state: list[Any]) -> list[Any]:
        return list(state)


_Counts = dict[str | None, int]


@aggregate(
    "HISTOGRAM",
    "(val1 VARCHAR) -> MAP<VARCHAR, BIGINT>",
    description="How often each string occurs, NULL too, for the first 1000 different strings.",
)
class Histogram:
    """State: the count of each string. NULL is a key of its own, in JSON `null`."""

    def __init__(self, site: CallSite) -> None:
        pass

    def initial(self) -> _Counts:
        return {}

    def add(self, state: _Counts, value: str | None) -> _Counts:
        if value in state or len(state) < HISTOGRAM_LIMIT:
            state[value] = state.get(value, 0) + 1
        return state

    def undo(self, state: _Counts, value: str | None) -> _Counts:
        count = state.get(value, 0)
        if count > 1:
            state[value] = count - 1
        elif value in state:
            del state[value]
        return state

    def merge(self, left: _Counts, right: _Counts) -> _Counts:
        for value, count in right.items():
            if value in left or len(left) < HISTOGRAM_LIMIT:
                left[value] = left.get(value, 0) + count
        return left

    def result(self, state: _Counts) -> _Counts:
        return dict(state)


@aggregate("ATTR", "(val1 T) -> T", description="The value that all rows have in common, NULL if they differ.")
class CommonValue:
    """State: pairs [value, count]; NULL is a value of its own."""

    def __init__(self, site: CallSite) -> None:
        pass

    initial = Expression("[]")

    def add(self, state: list[Any], value: Any) -> list[Any]:
        return self._move(state, value, 1)

    def undo(self, state: list[Any], value: Any) -> list[Any]:
        return self._move(state, value, -1)

    def _move(self, state: list[Any], value: Any, by: int) -> list[Any]:
        for index, pair in enumerate(state):
            if pair[0] == value:
                pair[1] += by
                if pair[1] <= 0:
                    del state[index]
                return state
        if by > 0:
            state.append([value, by])
        return state

    def merge(self, left: list[Any], right: list[Any]) -> list[Any]:
        for value, count in right:
            left = self._move(left, value, count)
        return left

    def result(self, state: list[Any]) -> Any:
        return state[0][0] if len(state) == 1 else None


@aggregate("COUNT_DISTINCT", "(val1 T) -> BIGINT", description="The number of different values, estimated when large.")
class CountDistinct:
    """State: see `sketch`."""

    def __init__(self, site: CallSite) -> None:
        pass

    def initial(self) -> sketch.Sketch:
        return sketch.empty()

    def add(self, state: sketch.Sketch, value: Any) -> sketch.Sketch:
        return state if value is None else sketch.add(state, sketch.fingerprint(value))

    def merge(self, left: sketch.Sketch, right: sketch.Sketch) -> sketch.Sketch:
        return sketch.merge(left, right)

    def result(self, state: sketch.Sketch) -> int:
        return sketch.count(state)
