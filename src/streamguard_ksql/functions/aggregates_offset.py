"""LATEST_BY_OFFSET and EARLIEST_BY_OFFSET, of one value or of N.

Where states may be merged each kept value has the number of its arrival, so that of two sessions the first value is known:
the later session in time may well have the earlier offset. The numbers begin with the clock, so that they go on growing
after a restart, when states come back that were numbered before. Elsewhere the latest values have none, unless they are in
the changelog of an earlier version.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from streamguard_ksql.codegen import Expression
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.functions.registry import CallSite, aggregate
from streamguard_ksql.types import BOOLEAN, Array

_SINGLE = "(val1 T) -> T"
_SINGLE_NULLS = "(val1 T, ignoreNulls BOOLEAN) -> T"
_MANY = "(val1 T, {n} INT) -> ARRAY<T>"
_MANY_NULLS = "(val1 T, {n} INT, ignoreNulls BOOLEAN) -> ARRAY<T>"


class _ByOffset:
    """What both have in common: the running number, and the constant arguments."""

    def __init__(self, site: CallSite) -> None:
        constants = site.types[1:]
        flag = len(constants) if constants and constants[-1] == BOOLEAN else None
        self.ignore_nulls = site.literals.get(flag, True) if flag else True
        self.limit: int = site.literals.get(1, 1) if constants and constants[0] != BOOLEAN else 1
        if self.limit < 1:
            raise KsqlError("the number of values to keep must be 1 or greater")
        self.number = count((site.now_ms() << 20) + 1).__next__


@aggregate("LATEST_BY_OFFSET", _SINGLE, description="The latest value, or the latest N, by offset.")
@aggregate("LATEST_BY_OFFSET", _SINGLE_NULLS, constants=1)
class Latest(_ByOffset):
    """State: [number, value], None before the first; without merging the value itself, where it is no array."""

    initial = Expression("None")

    def __init__(self, site: CallSite) -> None:
        super().__init__(site)
        text = "{value}" if not site.merges and not isinstance(site.types[0], Array) else "[{number}(), {value}]"
        if self.ignore_nulls:
            text = f"{{state}} if {{value}} is None else {text}"
        self.add = Expression(text, "state", "value", number=self.number)

    def merge(self, left: Any, right: Any) -> Any:
        if left is None or right is None:
            return right if left is None else left
        return left if left[0] > right[0] else right

    result = Expression("{state}[1] if {state}.__class__ is {list} else {state}", "state", list=list)


class _Many(_ByOffset):
    """State: up to N numbers, each with its value behind it, in the order in which they came.

    One flat list: a list for each pair would be one more place in memory for each value that is read.
    """

    initial = Expression("[]")
    result = Expression("{state}[1::2]", "state")

    def joined(self, left: list[Any], right: list[Any]) -> list[Any]:
        """Both states as one, by number."""
        both = _flat(left) + _flat(right)
        order = sorted(range(0, len(both), 2), key=both.__getitem__)
        return [part for at in order for part in both[at : at + 2]]


def _flat(state: list[Any]) -> list[Any]:
    """A state as it is now: those in the changelogs of earlier versions are lists of pairs."""
    return [part for pair in state for part in pair] if state and type(state[0]) is list else state


@aggregate("LATEST_BY_OFFSET", _MANY.format(n="latestN"), constants=1)
@aggregate("LATEST_BY_OFFSET", _MANY_NULLS.format(n="latestN"), constants=2)
class LatestN(_Many):
    """The last N. State without merging: None, which is no number, then the values."""

    add: Callable[[list[Any], Any], list[Any]]

    def __init__(self, site: CallSite) -> None:
        super().__init__(site)
        if site.merges:
            self.add = self._numbered
        else:
            self.initial = Expression("[None]")
            self.result = Expression(
                "({state}[1:] if {state} and {state}[0] is None else {values}({state}))", "state", values=_values
            )
            self.add = self._bare()

    def _numbered(self, state: list[Any], value: Any) -> list[Any]:
        state = _flat(state)
        if value is not None or not self.ignore_nulls:
            state += (self.number(), value)
            if len(state) > 2 * self.limit:
                del state[:2]
        return state

    def _bare(self) -> Callable[[list[Any], Any], list[Any]]:
        limit, ignore_nulls = self.limit + 1, self.ignore_nulls

        def add(state: list[Any], value: Any) -> list[Any]:
            if not state or state[0] is not None:
                state = [None, *_values(state)]
            if value is not None or not ignore_nulls:
                state.append(value)
                if len(state) > limit:
                    del state[1]
            return state

        return add

    def merge(self, left: list[Any], right: list[Any]) -> list[Any]:
        return self.joined(left, right)[-2 * self.limit :]


def _values(state: list[Any]) -> list[Any]:
    """The values of a numbered state."""
    return _flat(state)[1::2]


@aggregate("EARLIEST_BY_OFFSET", _SINGLE, description="The earliest value, or the earliest N, by offset.")
@aggregate("EARLIEST_BY_OFFSET", _SINGLE_NULLS, constants=1)
class Earliest(_ByOffset):
    """State: [number, value], None before the first."""

    initial = Expression("None")

    def add(self, state: Any, value: Any) -> Any:
        if state is not None or (value is None and self.ignore_nulls):
            return state
        return [self.number(), value]

    def merge(self, left: Any, right: Any) -> Any:
        if left is None or right is None:
            return right if left is None else left
        return left if left[0] <= right[0] else right

    result = Expression("None if {state} is None else {state}[1]", "state")


@aggregate("EARLIEST_BY_OFFSET", _MANY.format(n="earliestN"), constants=1)
@aggregate("EARLIEST_BY_OFFSET", _MANY_NULLS.format(n="earliestN"), constants=2)
class EarliestN(_Many):
    """The first N."""

    def add(self, state: list[Any], value: Any) -> list[Any]:
        state = _flat(state)
        if len(state) < 2 * self.limit and (value is not None or not self.ignore_nulls):
            state += (self.number(), value)
        return state

    def merge(self, left: list[Any], right: list[Any]) -> list[Any]:
        return self.joined(left, right)[: 2 * self.limit]
