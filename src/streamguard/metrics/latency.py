"""A histogram of times, for tens of thousands of values a second.

prometheus-client's own takes a lock and walks the buckets for each value; this one takes a batch at once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client.metrics_core import HistogramMetricFamily

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Latency:
    """Counts values by bucket; `bounds` are the upper ends, which belong to their buckets."""

    def __init__(self, name: str, text: str, bounds: Sequence[float] = SECONDS) -> None:
        self._name, self._text, self._bounds = name, text, tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, values: Iterable[float]) -> None:
        """Count values. Times before 0 (a sender's clock that is ahead) count as 0."""
        counts, bounds, total = self._counts, self._bounds, 0.0
        for value in values:
            if value < 0:
                value = 0.0
            counts[bisect_left(bounds, value)] += 1
            total += value
        self._sum += total

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        """Upper end and count so far of each bucket, and the sum of the values."""
        found: list[tuple[str, float]] = []
        seen = 0
        for bound, count in zip((*map(repr, self._bounds), "+Inf"), self._counts, strict=True):
            seen += count
            found.append((bound, float(seen)))
        return found, self._sum

    def family(self) -> HistogramMetricFamily:
        """The histogram as it is now."""
        buckets, total = self.buckets()
        return HistogramMetricFamily(self._name, self._text, buckets=buckets, sum_value=total)
