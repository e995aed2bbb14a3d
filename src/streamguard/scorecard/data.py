"""Card payments from the handbook's files: transaction_id, timestamp, customer_id, terminal_id, amount, is_fraud."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

DAY_S = 86_400


class DataError(ValueError):
    """A folder or file that holds no card payments; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class CardPayment:
    """One payment; `at` is epoch seconds, UTC. `is_fraud` is the truth: a label seven days later, and for the score."""

    at: int
    card: str
    terminal: str
    amount: float
    is_fraud: bool

    @property
    def day(self) -> int:
        """Days since 1970, UTC."""
        return self.at // DAY_S


def read(folder: Path) -> list[CardPayment]:
    """All payments of the folder's `transactions-*.csv[.gz]`, by time. Raises DataError."""
    files = sorted(folder.glob("transactions-*.csv*")) if folder.is_dir() else []
    if not files:
        raise DataError(f"no transactions-*.csv.gz in {folder}")
    payments = [payment for file in files for payment in _read_file(file)]
    payments.sort(key=lambda payment: payment.at)
    return payments


def _read_file(file: Path) -> Iterator[CardPayment]:
    opener = gzip.open if file.suffix == ".gz" else open
    with opener(file, "rt", encoding="utf-8", newline="") as lines:
        rows = csv.reader(lines)
        header = next(rows, [])
        wanted = ("timestamp", "customer_id", "terminal_id", "amount", "is_fraud")
        if not set(wanted) <= set(header):
            raise DataError(f"{file}: the columns {', '.join(wanted)} are expected")
        at, card, terminal, amount, fraud = (header.index(name) for name in wanted)
        for row in rows:
            yield CardPayment(_epoch(row[at]), row[card], row[terminal], float(row[amount]), row[fraud] == "1")


def _epoch(text: str) -> int:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return round((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp())
