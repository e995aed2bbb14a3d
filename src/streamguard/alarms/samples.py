"""Samples in memory: the series that rules name, for as long as those look back, older ones less dense.

A series that is not in a scrape any more gets a gap (NaN): it has no value from then on, although it was there a moment ago.
"""

from __future__ import annotations

import math
import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from streamguard.alarms.promql.functions import Labels, Vector, Window
from streamguard.alarms.promql.tree import Matcher, Selector

DENSE_S = 900.0
"""Younger samples are all kept."""
SPARSE_S = 60.0
"""Of older ones, one in so many seconds; nothing that looks back further needs more."""
TRIMMED_EVERY = 64
GAP = math.nan


class Series:
    """The samples of one series, in the order of time."""

    def __init__(self, times: Iterable[float] = (), values: Iterable[float] = ()) -> None:
        self.times, self.values = array("d", times), array("d", values)
        self._since_trimmed = 0

    def add(self, time_s: float, value: float, keep_s: float) -> None:
        """Add a sample; one that is not newer than the last is left out."""
        if self.times and time_s <= self.times[-1]:
            return
        self.times.append(time_s)
        self.values.append(value)
        self._since_trimmed += 1
        if self._since_trimmed >= TRIMMED_EVERY:
            self._trim(time_s, keep_s)

    def _trim(self, now_s: float, keep_s: float) -> None:
        self._since_trimmed = 0
        kept_times, kept_values = array("d"), array("d")
        dense_from = bisect_left(self.times, now_s - DENSE_S)
        for index in range(bisect_left(self.times, now_s - keep_s), len(self.times)):
            is_gap = math.isnan(self.values[index])
            if index >= dense_from or is_gap or not kept_times or self.times[index] - kept_times[-1] >= SPARSE_S:
                kept_times.append(self.times[index])
                kept_values.append(self.values[index])
        self.times, self.values = kept_times, kept_values

    def window(self, begin_s: float, end_s: float) -> Window:
        """The samples in [begin_s, end_s]."""
        first, end = bisect_left(self.times, begin_s), bisect_right(self.times, end_s)
        return Window(begin_s, end_s, list(zip(self.times[first:end], self.values[first:end], strict=True)))


class Samples:
    """Series by name and labels. `reach_s` has the names that are kept, and for how many seconds."""

    def __init__(self, reach_s: Mapping[str, float]) -> None:
        self.reach_s = dict(reach_s)
        self._series: dict[str, dict[Labels, Series]] = {name: {} for name in reach_s}

    def add(self, name: str, labels: Labels, time_s: float, value: float) -> None:
        """Add a sample of a name that is kept."""
        self._series[name].setdefault(labels, Series()).add(time_s, value, self.reach_s[name])

    def record(self, name: str, found: Vector, time_s: float) -> None:
        """Add all series of a name as they are now: others of it end."""
        if name not in self._series:
            return
        for labels, series in self._series[name].items():
            if labels not in found and series.values and not math.isnan(series.values[-1]):
                series.add(time_s, GAP, self.reach_s[name])
        for labels, value in found.items():
            self.add(name, labels, time_s, value)

    def forget_old(self, now_s: float) -> None:
        """Drop the series that have no sample that anything looks back to."""
        for name, by_labels in self._series.items():
            limit_s = now_s - self.reach_s[name]
            for labels in [labels for labels, series in by_labels.items() if series.times[-1] < limit_s]:
                del by_labels[labels]

    def windows(self, selector: Selector, begin_s: float, end_s: float) -> Iterator[tuple[Labels, Window]]:
        """The series that a selector means."""
        for labels, series in self._series.get(selector.name, {}).items():
            if all(_fits(matcher, labels) for matcher in selector.matchers):
                yield labels, series.window(begin_s, end_s)

    def dump(self) -> list[Any]:
        """All of it, as JSON takes it; gaps are null."""
        return [
            [name, labels, list(series.times), [None if math.isnan(v) else v for v in series.values]]
            for name, by_labels in self._series.items()
            for labels, series in by_labels.items()
        ]

    def load(self, dumped: Iterable[Any]) -> None:
        """What `dump` gave, of the names that are kept still."""
        for name, labels, times, values in dumped:
            if name in self._series:
                key = tuple((str(label), str(value)) for label, value in labels)
                self._series[name][key] = Series(times, [GAP if value is None else value for value in values])


def _fits(matcher: Matcher, labels: Labels) -> bool:
    value = dict(labels).get(matcher.label, "")
    if matcher.operator in ("=", "!="):
        return (value == matcher.value) == (matcher.operator == "=")
    return (re.fullmatch(matcher.value, value) is not None) == (matcher.operator == "=~")
