"""Functions of arrays. None of them changes the array that it gets but ARRAY_SORT, where the array is the query's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamguard_ksql.errors import EvaluationError, KsqlError
from streamguard_ksql.functions.registry import CallSite, scalar
from streamguard_ksql.functions.sizes import check_array
from streamguard_ksql.java import wrap_int
from streamguard_ksql.ordering import element_order, identity, identity_of
from streamguard_ksql.text import renderer
from streamguard_ksql.types import Array, Map, Struct

ARRAY = "ARRAY"
_TWO_ARRAYS = "(left ARRAY<T>, right ARRAY<T>) -> ARRAY<T>"
List = list[Any]
Body = Callable[..., Any]


def _distinct(items: List) -> List:
    """The different items in the order of their first occurrence; items may be lists and dicts."""
    try:
        return list(dict.fromkeys(items))
    except TypeError:
        found: List = []
        for item in items:
            if item not in found:
                found.append(item)
        return found


def _distinct_doubles(items: List) -> List:
    found: dict[Any, Any] = {}
    for item in items:
        found.setdefault(identity(item), item)
    return list(found.values())


def _by_element(plain: Body, with_doubles: Body) -> Callable[[CallSite], Body]:
    """Which of two bodies, by whether the elements have doubles in them, whose equality is not Python's."""

    def bind(site: CallSite) -> Body:
        source = site.types[0]
        item = source.item if isinstance(source, Array) else None
        return plain if identity_of(item) is None else with_doubles

    return bind


@scalar("ARRAY_LENGTH", "(array ARRAY<T>) -> INT", category=ARRAY, description="The number of elements.")
def array_length(array: List) -> int:
    return len(array)


scalar(
    "ARRAY_CONTAINS",
    "(array ARRAY<T>, val T) -> BOOLEAN",
    category=ARRAY,
    nulls="pass",
    bind=True,
    description="Whether a value is among the elements.",
)(
    _by_element(
        lambda array, value: array is not None and value in array,
        lambda array, value: array is not None and identity(value) in map(identity, array),
    )
)


@scalar(
    "ARRAY_CONCAT",
    _TWO_ARRAYS,
    category=ARRAY,
    nulls="pass",
    description="The elements of both, one after the other; a NULL array is left out.",
)
def array_concat(left: List | None, right: List | None) -> List | None:
    if left is None or right is None:
        return right if left is None else left
    return left + right


def _without(left: List, right: List) -> List:
    others = set(map(identity, right))
    return [item for item in _distinct_doubles(left) if identity(item) not in others]


def _common(left: List, right: List) -> List:
    others = set(map(identity, right))
    return [item for item in _distinct_doubles(left) if identity(item) in others]


for name, signature, description, plain, with_doubles in (
    ("DISTINCT", "(input ARRAY<T>) -> ARRAY<T>", "The different elements, NULL too.", _distinct, _distinct_doubles),
    (
        "EXCEPT",
        _TWO_ARRAYS,
        "The different elements of the first that the second does not have.",
        lambda left, right: [item for item in _distinct(left) if item not in right],
        _without,
    ),
    (
        "INTERSECT",
        _TWO_ARRAYS,
        "The different elements that both have.",
        lambda left, right: [item for item in _distinct(left) if item in right],
        _common,
    ),
    (
        "UNION",
        _TWO_ARRAYS,
        "The different elements of both.",
        lambda left, right: _distinct(left + right),
        lambda left, right: _distinct_doubles(left + right),
    ),
):
    scalar(f"ARRAY_{name}", signature, category=ARRAY, bind=True, description=description)(
        _by_element(plain, with_doubles)
    )

scalar(
    "ARRAY_REMOVE",
    "(array ARRAY<T>, victim T) -> ARRAY<T>",
    category=ARRAY,
    nulls="pass",
    bind=True,
    description="The elements that are not equal to a value.",
)(
    _by_element(
        lambda array, victim: None if array is None else [item for item in array if item != victim],
        lambda array, victim: None if array is None else [item for item in array if identity(item) != identity(victim)],
    )
)


def _primitive_items(site: CallSite, name: str) -> None:
    source = site.types[0]
    if isinstance(source, Array) and isinstance(source.item, Array | Map | Struct):
        raise KsqlError(f"{name} takes an ARRAY of primitive elements, not of {source.item.base}")


def _order(site: CallSite) -> Callable[[Any], Any] | None:
    source = site.types[0]
    return element_order(source.item) if isinstance(source, Array) else None


def _extreme(name: str, pick: Callable[..., Any]) -> Callable[[CallSite], Callable[[List], Any]]:
    def bind(site: CallSite) -> Callable[[List], Any]:
        _primitive_items(site, name)
        key = _order(site)
        return lambda array: pick((item for item in array if item is not None), default=None, key=key)

    return bind


_MEMBER = "(input ARRAY<T>) -> T"
scalar("ARRAY_MAX", _MEMBER, category=ARRAY, bind=True, description="The largest element.")(_extreme("ARRAY_MAX", max))
scalar("ARRAY_MIN", _MEMBER, category=ARRAY, bind=True, description="The smallest element.")(_extreme("ARRAY_MIN", min))


@scalar(
    "ARRAY_SORT",
    "(input ARRAY<T>) -> ARRAY<T>",
    "(input ARRAY<T>, direction VARCHAR) -> ARRAY<T>",
    category=ARRAY,
    bind=True,
    description="The elements in ascending (ASC) or descending (DESC) order, NULLs last.",
)
def bind_sort(site: CallSite) -> Callable[..., List | None]:
    """In ksqlDB the array itself is sorted, which other columns of the row see."""
    _primitive_items(site, "ARRAY_SORT")
    key = _order(site)

    def sort(array: List, direction: str = "ASC") -> List | None:
        word = direction.upper()
        if word not in _DIRECTIONS:
            return None
        absent = array.count(None)
        present = [item for item in array if item is not None] if absent else array
        found = sorted(present, key=key, reverse=word[0] == "D") + [None] * absent
        if not site.owns_values:
            return found
        array[:] = found
        return array

    return sort


_DIRECTIONS = frozenset(("ASC", "ASCENDING", "DESC", "DESCENDING"))


@scalar(
    "ARRAY_JOIN",
    "(array ARRAY<T>) -> VARCHAR",
    "(array ARRAY<T>, delimiter VARCHAR) -> VARCHAR",
    category=ARRAY,
    nulls="pass",
    bind=True,
    description="The elements as one string, with commas or another delimiter between them.",
)
def bind_join(site: CallSite) -> Callable[..., str | None]:
    """NULL elements read `null`; elements have to be primitive."""
    _primitive_items(site, "ARRAY_JOIN")
    source = site.types[0]
    render = renderer(source.item) if isinstance(source, Array) else str

    def join(array: List | None, delimiter: str | None = ",") -> str | None:
        return None if array is None else (delimiter or "").join(map(render, array))

    return join


@scalar(
    "SLICE",
    "(in ARRAY<T>, from INT, to INT) -> ARRAY<T>",
    category=ARRAY,
    nulls="pass",
    description="The elements from one place to another, both included, counted from 1.",
)
def slice_array(array: List | None, first: int | None, last: int | None) -> List | None:
    """A missing place is the end of the array on its side; places out of order give no answer."""
    if array is None:
        return None
    start = 0 if first is None else first - 1
    stop = len(array) if last is None else last
    if start < 0 or stop > len(array) or start > stop:
        return None
    return array[start:stop]


def _series(start: int, end: int, step: int) -> List:
    if step == 0:
        raise EvaluationError("GENERATE_SERIES step cannot be zero")
    check_array("GENERATE_SERIES", abs(end - start) // abs(step) + 1)
    return list(range(start, end + (1 if step > 0 else -1), step))


@scalar(
    "GENERATE_SERIES",
    "(start INT, end INT) -> ARRAY<INT>",
    "(start BIGINT, end BIGINT) -> ARRAY<BIGINT>",
    category=ARRAY,
    description="The whole numbers from one to another, both included, by a step.",
)
def series(start: int, end: int) -> List:
    """Downwards if the end is smaller."""
    return _series(start, end, 1 if end >= start else -1)


@scalar("GENERATE_SERIES", "(start INT, end INT, step INT) -> ARRAY<INT>", category=ARRAY)
@scalar("GENERATE_SERIES", "(start BIGINT, end BIGINT, step INT) -> ARRAY<BIGINT>", category=ARRAY)
def series_by(start: int, end: int, step: int) -> List:
    if (end - start) * wrap_int(step) < 0:
        raise EvaluationError(f"GENERATE_SERIES step has the wrong sign: from {start} to {end} by {step}")
    return _series(start, end, step)
