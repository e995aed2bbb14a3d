"""The handbook's split by time: a week of training, a week in which labels are awaited, a week of test."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from streamguard.evaluation.data import CardPayment
from streamguard.evaluation.rules import Points

TRAIN_DAYS = DELAY_DAYS = TEST_DAYS = 7

Scored = tuple[CardPayment, Points]


def test_weeks(days: Sequence[int]) -> list[int]:
    """The first days of the test weeks that fit the data, one after the other, counted back from its end."""
    first, last = min(days), max(days)
    starts = range(last - TEST_DAYS + 1, first + TRAIN_DAYS + DELAY_DAYS - 1, -TEST_DAYS)
    return sorted(starts)


def test_week(scored: Iterable[Scored], start: int) -> list[list[Scored]]:
    """The days of the test week, without the cards known as compromised by the day.

    Known are the frauds of the training week, and day by day those of the delay, whose labels come in meanwhile.
    """
    train = start - TRAIN_DAYS - DELAY_DAYS
    frauds: defaultdict[int, set[str]] = defaultdict(set)
    days: list[list[Scored]] = [[] for _ in range(TEST_DAYS)]
    for payment, points in scored:
        if payment.is_fraud:
            frauds[payment.day].add(payment.card)
        if start <= payment.day < start + TEST_DAYS:
            days[payment.day - start].append((payment, points))
    known = set().union(*(frauds[day] for day in range(train, train + TRAIN_DAYS)))
    kept = []
    for number, day in enumerate(days):
        known |= frauds[train + TRAIN_DAYS + number - 1]
        kept.append([(payment, points) for payment, points in day if payment.card not in known])
    return kept
