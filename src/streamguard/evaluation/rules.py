"""Four rules for card payments. Each gives points between 0 and 1: how sure it is, by itself, that this is fraud.

high amount        above a limit that no honest payment reaches
unusual amount     many times the card's own average (its normal payments only, so that a attacker does not raise it)
leaked card        above the usual on a card that showed unusual amounts within two weeks
compromised terminal  confirmed fraud there that no other rule explains, while it lasts (a terminal is compromised
                   for weeks, then clean again)
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from streamguard.evaluation.data import DAY_S, CardPayment


@dataclass(frozen=True)
class Limits:
    """The limits of the rules, set by hand on April to July 2018. Amounts in the cards' currency, times in days."""

    high_amount: float = 220.0
    normal_ratio: float = 2.5
    unusual_steps: tuple[tuple[float, float], ...] = ((2.75, 0.2), (3.0, 0.5), (3.25, 0.7), (3.5, 0.8), (5.0, 1.0))
    """From so many times the average on, so many points."""
    enough_payments: int = 3
    leak_days: int = 14
    leak_steps: tuple[tuple[float, float], ...] = ((1.75, 0.05), (2.0, 0.15), (2.25, 0.3), (2.5, 0.4))
    label_delay_days: int = 7
    compromised_days: int = 28
    """How long a terminal stays compromised, from its first fraud."""
    single_fraud: float = 0.3
    """Points after one unexplained fraud with no honest payment since; two and more are certain."""


class Points(NamedTuple):
    """What each rule gives one payment."""

    high_amount: float
    unusual_amount: float
    leaked_card: float
    compromised_terminal: float

    @property
    def together(self) -> float:
        """Each rule is an independent witness: the chance that not all of them are wrong."""
        wrong = 1.0
        for points in self:
            wrong *= 1.0 - points
        return 1.0 - wrong


@dataclass
class _Card:
    normal_count: int = 0
    normal_sum: float = 0.0
    unusual_at: list[int] = field(default_factory=list)


@dataclass
class _Terminal:
    """`waiting` are payments whose labels are not known yet; the run counts what the labels known so far say."""

    waiting: list[tuple[int, bool, bool]] = field(default_factory=list)
    known: int = 0
    run_start: int = 0
    run_frauds: int = 0


class Scorer:
    """Scores payments one after the other, by time; keeps what it needs of the past."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._cards: defaultdict[str, _Card] = defaultdict(_Card)
        self._terminals: defaultdict[str, _Terminal] = defaultdict(_Terminal)

    def score(self, payment: CardPayment) -> Points:
        """The points of a payment; afterwards it belongs to the past."""
        limits, card, terminal = self._limits, self._cards[payment.card], self._terminals[payment.terminal]
        high = payment.amount > limits.high_amount
        times = (
            payment.amount * card.normal_count / card.normal_sum if card.normal_count >= limits.enough_payments else 0.0
        )
        unusual = _step(limits.unusual_steps, times)
        leaked = 0.0
        if not unusual and self._leaked_lately(card, payment.at):
            leaked = _step(limits.leak_steps, times)
        self._learn_labels(terminal, payment.at)
        points = Points(float(high), unusual, leaked, self._compromised(terminal, payment.at))
        explained = high or unusual > 0
        if explained:
            card.unusual_at.append(payment.at)
        elif times < limits.normal_ratio:
            card.normal_count += 1
            card.normal_sum += payment.amount
        terminal.waiting.append((payment.at, payment.is_fraud, explained))
        return points

    def _leaked_lately(self, card: _Card, at: int) -> bool:
        since = at - self._limits.leak_days * DAY_S
        return len(card.unusual_at) > bisect_left(card.unusual_at, since)

    def _learn_labels(self, terminal: _Terminal, at: int) -> None:
        """Take up the labels that have become known by `at`."""
        until = at - self._limits.label_delay_days * DAY_S
        while terminal.known < len(terminal.waiting) and terminal.waiting[terminal.known][0] <= until:
            when, is_fraud, explained = terminal.waiting[terminal.known]
            terminal.known += 1
            if explained:
                continue
            if not is_fraud:
                terminal.run_frauds = 0
            else:
                if terminal.run_frauds == 0:
                    terminal.run_start = when
                terminal.run_frauds += 1

    def _compromised(self, terminal: _Terminal, at: int) -> float:
        if terminal.run_frauds == 0 or at - terminal.run_start >= self._limits.compromised_days * DAY_S:
            return 0.0
        return self._limits.single_fraud if terminal.run_frauds == 1 else 0.99


def _step(steps: tuple[tuple[float, float], ...], value: float) -> float:
    """The points of the highest step that `value` reaches."""
    points = 0.0
    for border, worth in steps:
        if value >= border:
            points = worth
    return points
