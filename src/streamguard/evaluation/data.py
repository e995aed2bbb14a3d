"""Card payments from the handbook's files: transaction_id, timestamp, customer_id, terminal_id, amount, is_fraud."""

from __future__ import annotations

import csv
import gzip
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from streamguard.config import UserError

DAY_S = 86_400
COLUMNS = ("timestamp", "customer_id", "terminal_id", "amount", "is_fraud")


class DataError(UserError):
    """A folder or file without card payments."""


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
    """The payments of one file; raises DataError naming it, and the line where one is at fault."""
    opener = gzip.open if file.suffix == ".gz" else open
    try:
        with opener(file, "rt", encoding="utf-8", newline="") as lines:
            yield from _read_rows(file, csv.reader(lines))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from None


def _read_rows(file: Path, rows: Any) -> Iterator[CardPayment]:
    header: list[str] = next(rows, [])
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise DataError(f"{file} lacks the column {', '.join(missing)}: {', '.join(COLUMNS)} are expected")
    at, card, terminal, amount, fraud = (header.index(name) for name in COLUMNS)
    for row in filter(None, rows):
        try:
            yield CardPayment(_epoch(row[at]), row[card], row[terminal], _amount(row[amount]), row[fraud] == "1")
        except (ValueError, IndexError) as error:
            reason = "fewer columns than the first line" if isinstance(error, IndexError) else error
            raise DataError(f"{file} line {rows.line_num}: {reason}") from None


def _amount(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not math.isfinite(amount):
        raise ValueError(f"amount {text!r} is no number")
    return amount


def _epoch(text: str) -> int:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return round((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp())
