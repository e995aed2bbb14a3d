"""The handbook's split by time: a week of training, a week in which labels are awaited, a week of test."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from streamguard.evaluation.data import DAY_MS, LabelledPayment
from streamguard.evaluation.scores import Score

TRAIN_DAYS = DELAY_DAYS = TEST_DAYS = 7

Scored = tuple[LabelledPayment, Score]


def test_weeks(days: Sequence[int]) -> list[int]:
    """The first days of the test weeks that fit the data, one after the other, counted back from its end."""
    first, last = min(days), max(days)
    starts = range(last - TEST_DAYS + 1, first + TRAIN_DAYS + DELAY_DAYS - 1, -TEST_DAYS)
    return sorted(starts)


def by_day(scored: Iterable[Scored]) -> dict[int, list[Scored]]:
    """The payments of each day."""
    days: defaultdict[int, list[Scored]] = defaultdict(list)
    for day, pairs in groupby(scored, key=lambda pair: pair[0].at_ms // DAY_MS):
        days[day] += pairs
    return days


def test_week(scored: Mapping[int, Sequence[Scored]], start: int) -> list[list[Scored]]:
    """The days of the test week, without the cards known as compromised by the day.

    Known are the frauds of the training week, and day by day those of the delay, whose labels come in meanwhile.
    """
    train = start - TRAIN_DAYS - DELAY_DAYS

    def compromised(day: int) -> set[str]:
        return {payment.account for payment, _ in scored.get(day, ()) if payment.label}

    known = set().union(*(compromised(day) for day in range(train, train + TRAIN_DAYS)))
    kept = []
    for number in range(TEST_DAYS):
        known |= compromised(train + TRAIN_DAYS + number - 1)
        kept.append([pair for pair in scored.get(start + number, ()) if pair[0].account not in known])
    return kept
