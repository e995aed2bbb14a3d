"""Figures from scores and labels. Ties are taken together, so that the order of equal scores does not matter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple


class Hits(NamedTuple):
    """How well a yes-or-no rule did."""

    precision: float
    recall: float
    f1: float
    alerts: int


def hits(flags: Iterable[tuple[bool, bool]]) -> Hits:
    """From (raised, is fraud) pairs."""
    raised = right = frauds = 0
    for flag, is_fraud in flags:
        raised += flag
        frauds += is_fraud
        right += flag and is_fraud
    precision = right / raised if raised else 0.0
    recall = right / frauds if frauds else 0.0
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return Hits(precision, recall, f1, raised)


def ranking(scored: Sequence[tuple[float, bool]]) -> tuple[float, float]:
    """Average precision and the area under the ROC curve, from (score, is fraud) pairs.

    Average precision is the sum over thresholds of precision times the gain in recall, as scikit-learn defines it.
    """
    frauds = sum(is_fraud for _, is_fraud in scored)
    honest = len(scored) - frauds
    if not frauds or not honest:
        return 0.0, 0.0
    ordered = sorted(scored, key=lambda pair: -pair[0])
    found = seen = 0
    average_precision = pairs_won = 0.0
    for _, tied in groupby(ordered, key=lambda pair: pair[0]):
        labels = [is_fraud for _, is_fraud in tied]
        gained = sum(labels)
        pairs_won += (len(labels) - gained) * (found + gained / 2)
        found += gained
        seen += len(labels)
        average_precision += gained / frauds * found / seen
    return average_precision, pairs_won / (frauds * honest)


def card_precision(days: Sequence[Sequence[tuple[str, float, bool]]], top: int = 100) -> float:
    """Of the `top` cards with the highest score each day, the share that is compromised, averaged over the days.

    A day is a list of (card, score, is fraud); a card found on an earlier day is not looked at again.
    """
    found: set[str] = set()
    shares = []
    for day in days:
        highest: defaultdict[str, float] = defaultdict(float)
        compromised = set()
        for card, score, is_fraud in day:
            if card not in found:
                highest[card] = max(highest[card], score)
                if is_fraud:
                    compromised.add(card)
        ranked = sorted(highest, key=lambda card: (-highest[card], card))[:top]
        right = compromised & set(ranked)
        found |= right
        shares.append(len(right) / top)
    return sum(shares) / len(shares) if shares else 0.0
