"""A simple forecast of daily figures: a straight line, times what each weekday usually is of it; and its error, measured.

1. The weekday's factor is its mean over the mean of all days, over whole weeks up to the end.
2. The line is that of least squares through the days divided by their factors.
3. The error is measured before: the last days are held out, forecast from those before, and compared with what they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, linear_regression

WEEK = 7
AHEAD = 14
LEAST_DAYS = 28
MOST_HELD_OUT = 14


@dataclass(frozen=True)
class Forecast:
    """`expected` for the next `AHEAD` days; errors are sums of deviations over the sum of the held-out days."""

    expected: list[float]
    held_out: int
    error: float
    error_same_day_last_week: float


def forecast(days: Sequence[float]) -> Forecast | None:
    """From consecutive days; None for fewer than four weeks, and where nothing came in on the held-out days."""
    if len(days) < LEAST_DAYS:
        return None
    held_out = min(MOST_HELD_OUT, len(days) // 4)
    known, truth = days[:-held_out], days[-held_out:]
    if not sum(truth):
        return None
    last_week = [known[len(known) - WEEK + number % WEEK] for number in range(held_out)]
    return Forecast(
        _ahead(days, AHEAD), held_out, _deviation(_ahead(known, held_out), truth), _deviation(last_week, truth)
    )


def _ahead(days: Sequence[float], count: int) -> list[float]:
    """The days after these. Places count back from the end, so that the weekday of a day ahead is known."""
    weeks = days[len(days) % WEEK :]
    mean = fmean(weeks)
    factors = [fmean(weeks[place::WEEK]) / mean if mean else 1.0 for place in range(WEEK)]
    level = [value / factors[place % WEEK] for place, value in enumerate(weeks) if factors[place % WEEK]]
    places = [place for place in range(len(weeks)) if factors[place % WEEK]]
    slope, begin = linear_regression(places, level) if len(places) > 1 else (0.0, 0.0)
    first = len(weeks)
    return [max(0.0, (begin + slope * place) * factors[place % WEEK]) for place in range(first, first + count)]


def _deviation(expected: Sequence[float], truth: Sequence[float]) -> float:
    return sum(abs(one - other) for one, other in zip(expected, truth, strict=True)) / sum(truth)
