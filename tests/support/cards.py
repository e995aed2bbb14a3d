"""Labelled card payments of our own, in the layout of the Fraud Detection Handbook: seeded, small, with three frauds.

1  an amount above 220, which no honest payment reaches
2  a compromised terminal: for four weeks many payments at it are fraud, with ordinary amounts
3  a leaked card: for two weeks every third payment is five times its usual amount

`../shared` may have the months of the handbook itself; tests use them in addition where they are there.
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random

from tests.support.project import PROJECT_ROOT

HANDBOOK = PROJECT_ROOT.parent / "shared" / "data" / "handbook"
NO_HANDBOOK = "the handbook's months are not in ../shared"

COLUMNS = ("transaction_id", "timestamp", "customer_id", "terminal_id", "amount", "is_fraud", "fraud_scenario")
FIRST_DAY = datetime(2018, 4, 1, tzinfo=timezone.utc)
HIGH_AMOUNT = 220.0
CARDS, TERMINALS = 400, 800
COMPROMISED_DAYS, LEAKED_DAYS = 28, 14


@dataclass(frozen=True)
class Card:
    """A card: its mean amount, its payments a day, and the terminals near its owner."""

    number: int
    mean: float
    per_day: float
    terminals: tuple[int, ...]


class Maker:
    """Makes day after day from 2018-04-01; the same seed makes the same payments."""

    def __init__(self, seed: int = 7) -> None:
        self._rng = Random(seed)
        self._cards = [self._card(number) for number in range(CARDS)]
        self._compromised: dict[int, int] = {}
        self._leaked: dict[int, int] = {}
        self._next_id = 0

    def day(self, number: int) -> list[tuple[str, ...]]:
        """The rows of a day, 0 being the first, by time."""
        for active, count, total in ((self._compromised, TERMINALS, 1), (self._leaked, CARDS, 2)):
            for _ in range(total if number % 4 == 0 else 0):
                active[self._rng.randrange(count)] = number
        rows = sorted(row for card in self._cards for row in self._payments(card, number))
        start = self._next_id
        self._next_id += len(rows)
        midnight = FIRST_DAY + timedelta(days=number)
        return [
            (str(start + index), f"{midnight + timedelta(seconds=second):%Y-%m-%dT%H:%M:%SZ}", *rest)
            for index, (second, *rest) in enumerate(rows)
        ]

    def _card(self, number: int) -> Card:
        rng = self._rng
        terminals = tuple(rng.sample(range(TERMINALS), 12))
        return Card(number, rng.uniform(5, 60), rng.uniform(0.2, 3), terminals)

    def _payments(self, card: Card, day: int) -> list[tuple[int, str, str, str, str, str]]:
        rng = self._rng
        count = int(card.per_day) + (rng.random() < card.per_day % 1)
        seconds = [min(86_399, max(0, round(rng.gauss(43_200, 20_000)))) for _ in range(count)]
        if seconds and rng.random() < 0.01:
            # Several purchases in a row.
            seconds += [min(86_399, seconds[0] + 60 * (minute + 1)) for minute in range(2)]
        return [(second, *self._payment(card, day)) for second in seconds]

    def _payment(self, card: Card, day: int) -> tuple[str, str, str, str, str]:
        rng = self._rng
        terminal = rng.choice(card.terminals)
        amount = min(HIGH_AMOUNT - 1, max(0.01, rng.gauss(card.mean, card.mean / 2)))
        scenario = 0
        if rng.random() < 0.0005:
            amount, scenario = rng.uniform(HIGH_AMOUNT + 1, 2 * HIGH_AMOUNT), 1
        elif day - self._compromised.get(terminal, -COMPROMISED_DAYS) < COMPROMISED_DAYS:
            scenario = 2
        elif day - self._leaked.get(card.number, -LEAKED_DAYS) < LEAKED_DAYS and rng.random() < 1 / 3:
            amount, scenario = amount * 5, 3
        return str(card.number), str(terminal), f"{amount:.2f}", str(int(scenario > 0)), str(scenario)


def write_months(folder: Path, *months: str, seed: int = 7) -> list[Path]:
    """`transactions-2018-04.csv.gz` and so on for these months (`04` to `12`), as the handbook's; returns their paths."""
    maker = Maker(seed)
    paths: list[Path] = []
    number = 0
    while len(paths) < len(months):
        month = (FIRST_DAY + timedelta(days=number)).month
        rows: list[tuple[str, ...]] = []
        while (FIRST_DAY + timedelta(days=number)).month == month:
            rows += maker.day(number)
            number += 1
        if f"{month:02}" in months:
            paths.append(folder / f"transactions-2018-{month:02}.csv.gz")
            with gzip.open(paths[-1], "wt", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(COLUMNS)
                writer.writerows(rows)
    return paths
