"""The value of an expression at an instant: a number, or a number for each set of labels."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from typing import Protocol

from streamguard.alarms.promql.functions import AGGREGATIONS, FUNCTIONS, Labels, Vector, Window
from streamguard.alarms.promql.tree import (
    LOOKBACK_S,
    Aggregation,
    Binary,
    Call,
    Expression,
    ExpressionError,
    Number,
    Selector,
)


class Source(Protocol):
    """Where samples are."""

    def windows(self, selector: Selector, begin_s: float, end_s: float) -> Iterator[tuple[Labels, Window]]:
        """The series that a selector means, with their samples in [begin_s, end_s]; a gap is NaN."""
        ...


Value = float | Vector


def _divide(left: float, right: float) -> float:
    if right:
        return left / right
    return math.nan if left == 0 or math.isnan(left) else math.copysign(math.inf, left)


_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "%": lambda left, right: math.fmod(left, right) if right else math.nan,
}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Evaluation:
    """Expressions over the samples of a source at one instant, in epoch seconds."""

    def __init__(self, source: Source, at_s: float) -> None:
        self._source, self._at_s = source, at_s

    def vector(self, of: Expression) -> Vector:
        """A value with labels. Raises ExpressionError where it is a plain number."""
        found = self.value(of)
        if not isinstance(found, dict):
            raise ExpressionError("a number, where series are needed")
        return found

    def value(self, of: Expression) -> Value:
        """Any value. Raises ExpressionError."""
        if isinstance(of, Number):
            return of.value
        if isinstance(of, Selector):
            return self._instant(of)
        if isinstance(of, Aggregation):
            return self._aggregate(of)
        return self._call(of) if isinstance(of, Call) else self._binary(of)

    def _instant(self, of: Selector) -> Vector:
        if of.range_s is not None:
            raise ExpressionError(f"a range of {of.name}, where its value is needed")
        end_s = self._at_s - of.offset_s
        found = self._source.windows(of, end_s - LOOKBACK_S, end_s)
        newest = {labels: window.samples[-1][1] for labels, window in found if window.samples}
        return {labels: value for labels, value in newest.items() if not math.isnan(value)}

    def _aggregate(self, of: Aggregation) -> Vector:
        groups: dict[Labels, list[float]] = {}
        for labels, value in self.vector(of.of).items():
            key = tuple(pair for pair in labels if (pair[0] in of.labels) != of.without)
            groups.setdefault(key, []).append(value)
        return {labels: AGGREGATIONS[of.operator](values) for labels, values in groups.items()}

    def _call(self, of: Call) -> Value:
        if of.name == "time":
            return self._at_s
        function = FUNCTIONS[of.name]
        if function.arguments[0] == "range":
            return self._over_range(of)
        given = [
            self.vector(argument) if kind == "vector" else self._number(argument)
            for kind, argument in zip(function.arguments, of.arguments, strict=True)
        ]
        found: Vector = function.apply(*given)
        return found

    def _over_range(self, of: Call) -> Vector:
        [selector, *others] = of.arguments
        if not isinstance(selector, Selector) or selector.range_s is None:
            raise ExpressionError(f"{of.name} needs a range, such as [5m]")
        more = [self._number(other) for other in others]
        named = {"at_s": self._at_s - selector.offset_s} if of.name == "predict_linear" else {}
        end_s = self._at_s - selector.offset_s
        found = {}
        for labels, window in self._source.windows(selector, end_s - selector.range_s, end_s):
            there = [sample for sample in window.samples if not math.isnan(sample[1])]
            value = FUNCTIONS[of.name].apply(Window(window.begin_s, window.end_s, there), *more, **named)
            if value is not None:
                found[labels] = value
        return found

    def _number(self, of: Expression) -> float:
        found = self.value(of)
        if isinstance(found, dict):
            raise ExpressionError("series, where a number is needed")
        return found

    def _binary(self, of: Binary) -> Value:
        left, right = self.value(of.left), self.value(of.right)
        if isinstance(left, dict) and isinstance(right, dict):
            return _sets(of, left, right) if of.operator in ("and", "or", "unless") else _pairs(of, left, right)
        if not isinstance(left, dict) and not isinstance(right, dict):
            found = _operate(of, left, right, left)
            if found is None or (of.operator in _COMPARISONS and not of.is_bool):
                raise ExpressionError("two numbers are compared with bool only")
            return found
        if isinstance(left, dict):
            assert not isinstance(right, dict)
            made = ((labels, _operate(of, value, right, value)) for labels, value in left.items())
        else:
            assert isinstance(right, dict)
            made = ((labels, _operate(of, left, value, value)) for labels, value in right.items())
        return {labels: value for labels, value in made if value is not None}


def _operate(of: Binary, left: float, right: float, kept: float) -> float | None:
    """The result; of a comparison `kept`, or None where it does not hold."""
    if of.operator in _ARITHMETIC:
        return _ARITHMETIC[of.operator](left, right)
    if of.operator not in _COMPARISONS:
        raise ExpressionError(f"{of.operator} needs series on both sides")
    holds = _COMPARISONS[of.operator](left, right)
    return float(holds) if of.is_bool else kept if holds else None


def _key(of: Binary, labels: Labels) -> Labels:
    """The labels by which series fit each other."""
    if of.on is not None:
        return tuple(pair for pair in labels if pair[0] in of.on)
    return tuple(pair for pair in labels if pair[0] not in of.ignoring)


def _sets(of: Binary, left: Vector, right: Vector) -> Vector:
    keys = {_key(of, labels) for labels in (left if of.operator == "or" else right)}
    if of.operator == "or":
        return left | {labels: value for labels, value in right.items() if _key(of, labels) not in keys}
    wanted = of.operator == "and"
    return {labels: value for labels, value in left.items() if (_key(of, labels) in keys) == wanted}


def _pairs(of: Binary, left: Vector, right: Vector) -> Vector:
    others: dict[Labels, float] = {}
    for labels, value in right.items():
        if (key := _key(of, labels)) in others:
            raise ExpressionError(f"several series on the right of {of.operator} have the labels {dict(key)}")
        others[key] = value
    found: Vector = {}
    for labels, value in left.items():
        key = _key(of, labels)
        if key not in others or (result := _operate(of, value, others[key], value)) is None:
            continue
        shown = labels if of.many_to_one or (of.operator in _COMPARISONS and not of.is_bool) else key
        if shown in found:
            raise ExpressionError(f"several series on the left of {of.operator} have the labels {dict(key)}")
        found[shown] = result
    return found
