"""TRANSFORM, FILTER and REDUCE: functions that take functions. A lambda arrives as a plain Python callable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamguard_ksql.codegen import Comprehension
from streamguard_ksql.functions.registry import scalar
from streamguard_ksql.functions.sizes import check_value
from streamguard_ksql.java import hash_map_order

LAMBDA = "LAMBDA"
Function = Callable[..., Any]


@scalar(
    "TRANSFORM",
    "(map MAP<K, V>, biFunction1 LAMBDA (K, V) => R, biFunction2 LAMBDA (K, V) => T) -> MAP<R, T>",
    category=LAMBDA,
    description="A collection with every element, or every key and value, changed by a function.",
)
def transform_map(entries: dict[Any, Any], on_key: Function, on_value: Function) -> dict[Any, Any]:
    return {on_key(key, value): on_value(key, value) for key, value in entries.items()}


scalar("TRANSFORM", "(array ARRAY<T>, function LAMBDA (T) => R) -> ARRAY<R>", category=LAMBDA)(
    Comprehension("[{result} for {item} in {array}]")
)


@scalar(
    "FILTER",
    "(map MAP<K, V>, biFunction LAMBDA (K, V) => BOOLEAN) -> MAP<K, V>",
    category=LAMBDA,
    description="The part of a collection for which a function is true.",
)
def filter_map(entries: dict[Any, Any], keep: Function) -> dict[Any, Any]:
    return {key: value for key, value in entries.items() if keep(key, value)}


scalar("FILTER", "(array ARRAY<T>, function LAMBDA (T) => BOOLEAN) -> ARRAY<T>", category=LAMBDA)(
    # A condition without a value is an error of the row: the compiler sees to that.
    Comprehension("[{item} for {item} in {array} if {result}]")
)


@scalar(
    "REDUCE",
    "(list ARRAY<T>, initialState S, biFunction LAMBDA (S, T) => S) -> S",
    category=LAMBDA,
    nulls="pass",
    description="One value from a collection: a function of the state so far and the next element.",
)
def reduce_array(array: list[Any] | None, state: Any, function: Function) -> Any:
    """A NULL collection leaves the state as it is, a NULL state stays NULL."""
    if state is None or array is None:
        return state
    for item in array:
        state = function(state, item)
        check_value("REDUCE", state)
    return state


@scalar(
    "REDUCE", "(map MAP<K, V>, initialState S, triFunction LAMBDA (S, K, V) => S) -> S", category=LAMBDA, nulls="pass"
)
def reduce_map(entries: dict[Any, Any] | None, state: Any, function: Function) -> Any:
    if state is None or entries is None:
        return state
    for key in hash_map_order(entries):
        state = function(state, key, entries[key])
        check_value("REDUCE", state)
    return state
