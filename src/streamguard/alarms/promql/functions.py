"""The functions and aggregations of PromQL that are understood, by their names.

https://prometheus.io/docs/prometheus/latest/querying/functions/
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Labels = tuple[tuple[str, str], ...]
"""Label and value, in the order of the labels."""
Vector = dict[Labels, float]
Samples = Sequence[tuple[float, float]]
"""Time in epoch seconds and value, in the order of time."""


@dataclass(frozen=True)
class Window:
    """The samples of a series in [begin_s, end_s]."""

    begin_s: float
    end_s: float
    samples: Samples


@dataclass(frozen=True)
class Function:
    """`arguments` are of `vector`, `range`, `scalar`; `apply` gets them with the time. Of a range it is one value per series."""

    arguments: tuple[str, ...]
    apply: Callable[..., Any]


def _slope(window: Window, *, at_s: float) -> tuple[float, float] | None:
    """Value at an instant and slope of the line through the samples: least squares."""
    if len(window.samples) < 2:
        return None
    times = [time_s - at_s for time_s, _ in window.samples]
    values = [value for _, value in window.samples]
    mean_t, mean_v = math.fsum(times) / len(times), math.fsum(values) / len(values)
    spread = math.fsum((t - mean_t) ** 2 for t in times)
    slope = math.fsum((t - mean_t) * (v - mean_v) for t, v in zip(times, values, strict=True)) / spread
    return mean_v - slope * mean_t, slope


def _increase(window: Window, *, is_counter: bool = True) -> float | None:
    """The growth over the whole window, extrapolated to its ends where samples are near them, as Prometheus does."""
    samples = window.samples
    if len(samples) < 2:
        return None
    (first_s, first), (last_s, last) = samples[0], samples[-1]
    grown = last - first
    if is_counter:
        grown += sum(before for (_, before), (_, after) in pairwise(samples) if after < before)
    covered_s = last_s - first_s
    step_s = covered_s / (len(samples) - 1)
    to_begin_s, to_end_s = first_s - window.begin_s, window.end_s - last_s
    to_begin_s = step_s / 2 if to_begin_s >= step_s * 1.1 else to_begin_s
    to_end_s = step_s / 2 if to_end_s >= step_s * 1.1 else to_end_s
    if is_counter and grown > 0 and first >= 0:
        # A counter was not below zero.
        to_begin_s = min(to_begin_s, covered_s * first / grown)
    return grown * (covered_s + to_begin_s + to_end_s) / covered_s


def _rate(window: Window) -> float | None:
    grown = _increase(window)
    return None if grown is None else grown / (window.end_s - window.begin_s)


def _pairs(window: Window, counts: Callable[[float, float], bool]) -> float | None:
    values = [value for _, value in window.samples]
    if not values:
        return None
    return float(sum(counts(before, after) for before, after in pairwise(values)))


def _over(reduce: Callable[[list[float]], float]) -> Function:
    def apply(window: Window) -> float | None:
        return reduce([value for _, value in window.samples]) if window.samples else None

    return Function(("range",), apply)


def _predicted(window: Window, in_s: float, *, at_s: float) -> float | None:
    line = _slope(window, at_s=at_s)
    return None if line is None else line[0] + line[1] * in_s


def _quantile(quantile: float, buckets: Vector) -> Vector:
    """The quantile of histograms by their buckets; within a bucket values count as evenly spread."""
    by_rest: dict[Labels, list[tuple[float, float]]] = {}
    for labels, count in buckets.items():
        bounds = dict(labels)
        if (bound := bounds.pop("le", None)) is not None:
            by_rest.setdefault(tuple(bounds.items()), []).append((float(bound), count))
    found = {}
    for rest, pairs in by_rest.items():
        value = _of_buckets(quantile, sorted(pairs))
        if value is not None:
            found[rest] = value
    return found


def _of_buckets(quantile: float, buckets: list[tuple[float, float]]) -> float | None:
    if len(buckets) < 2 or not math.isinf(buckets[-1][0]) or buckets[-1][1] == 0:
        return None
    rank = quantile * buckets[-1][1]
    index = next((n for n, (_, count) in enumerate(buckets) if count >= rank), len(buckets) - 1)
    if index == len(buckets) - 1:
        return buckets[-2][0]
    upper, upto = buckets[index]
    lower, before = buckets[index - 1] if index else (0.0, 0.0)
    if index == 0 and upper <= 0:
        return upper
    return lower + (upper - lower) * (rank - before) / (upto - before)


def _each(change: Callable[..., float]) -> Callable[..., Vector]:
    def apply(vector: Vector, *more: float) -> Vector:
        return {labels: change(value, *more) for labels, value in vector.items()}

    return apply


FUNCTIONS: Mapping[str, Function] = {
    "rate": Function(("range",), _rate),
    "increase": Function(("range",), _increase),
    "delta": Function(("range",), lambda window: _increase(window, is_counter=False)),
    "changes": Function(("range",), lambda window: _pairs(window, lambda a, b: a != b)),
    "resets": Function(("range",), lambda window: _pairs(window, lambda a, b: b < a)),
    "avg_over_time": _over(lambda values: math.fsum(values) / len(values)),
    "min_over_time": _over(min),
    "max_over_time": _over(max),
    "sum_over_time": _over(math.fsum),
    "count_over_time": _over(lambda values: float(len(values))),
    "last_over_time": _over(lambda values: values[-1]),
    "predict_linear": Function(("range", "scalar"), _predicted),
    "histogram_quantile": Function(("scalar", "vector"), _quantile),
    "vector": Function(("scalar",), lambda value: {(): value}),
    "absent": Function(("vector",), lambda vector: {} if vector else {(): 1.0}),
    "abs": Function(("vector",), _each(abs)),
    "clamp_min": Function(("vector", "scalar"), _each(max)),
    "clamp_max": Function(("vector", "scalar"), _each(min)),
    "time": Function((), lambda: None),
}

AGGREGATIONS: Mapping[str, Callable[[list[float]], float]] = {
    "sum": math.fsum,
    "min": min,
    "max": max,
    "avg": lambda values: math.fsum(values) / len(values),
    "count": lambda values: float(len(values)),
}
