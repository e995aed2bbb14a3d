"""Figures from scores and labels. Ties are taken together, so that the order of equal scores does not matter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from heapq import nsmallest
from typing import NamedTuple


class Hits(NamedTuple):
    """How well a yes-or-no rule did."""

    precision: float
    recall: float
    f1: float
    alerts: int


def hits(raised: int, right: int, frauds: int) -> Hits:
    """Of a rule that raised so many payments, so many of which are among the frauds."""
    precision = right / raised if raised else 0.0
    recall = right / frauds if frauds else 0.0
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return Hits(precision, recall, f1, raised)


def ranking(counts: Counter[tuple[float, bool]]) -> tuple[float, float]:
    """Average precision and the area under the ROC curve, from how often each (score, is fraud) pair occurs.

    Average precision is the sum over thresholds of precision times the gain in recall, as scikit-learn defines it.
    """
    frauds = sum(count for (_, is_fraud), count in counts.items() if is_fraud)
    honest = counts.total() - frauds
    if not frauds or not honest:
        return 0.0, 0.0
    found = seen = 0
    average_precision = pairs_won = 0.0
    for score in sorted({score for score, _ in counts}, reverse=True):
        gained, others = counts[score, True], counts[score, False]
        pairs_won += others * (found + gained / 2)
        found += gained
        seen += gained + others
        average_precision += gained / frauds * found / seen
    return average_precision, pairs_won / (frauds * honest)


class Day(NamedTuple):
    """A day's cards: all that paid, the highest score above 0 of those that have one, and those that are compromised."""

    cards: frozenset[str]
    scores: dict[str, float]
    compromised: frozenset[str]


def card_precision(days: Iterable[Day], top: int = 100) -> float:
    """Of the `top` cards with the highest score each day, the share that is compromised, averaged over the days.

    A card found on an earlier day is not looked at again.
    """
    found: set[str] = set()
    shares = []
    for day in days:
        ranked = sorted(day.scores.keys() - found, key=lambda card: (-day.scores[card], card))[:top]
        if len(ranked) < top:
            ranked += nsmallest(top - len(ranked), day.cards - day.scores.keys() - found)
        right = day.compromised & set(ranked)
        found |= right
        shares.append(len(right) / top)
    return sum(shares) / len(shares) if shares else 0.0
