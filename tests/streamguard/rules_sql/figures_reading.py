"""The live figures of ksqldb/analytics.sql once more in plain Python, from their sentences and not from their SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

MINUTE_MS = 60_000
GRACE_MS = 5 * MINUTE_MS

NAMED_BY = {
    "type": "transaction_type",
    "channel": "channel",
    "category": "merchant_category",
    "city": "city",
    "account": "account_id",
    "merchant": "merchant_id",
    "merchant_5m": "merchant_id",
    "merchant_sliding": "merchant_id",
    "account_sliding": "account_id",
}
SLIDING = ("merchant_sliding", "account_sliding")
EARN_NOTHING = {"cash_in", "cash_out", "chargeback", "deposit", "refund", "reversal", "withdraw", "withdrawal"}
CATEGORIES = {
    "betting": "0.05",
    "digital_goods": "0.049",
    "electronics": "0.015",
    "fuel": "0.008",
    "gambling": "0.05",
    "grocery": "0.012",
    "hotel": "0.025",
    "pharmacy": "0.012",
    "school_fees": "0.005",
    "travel": "0.025",
    "utilities": "0.005",
}

Key = tuple[str, int, str, str]
"""Figure, start of the window, name, currency."""


@dataclass
class Sums:
    """What a window came to."""

    count: int = 0
    amount: Decimal = Decimal(0)
    earning: Decimal = Decimal(0)
    commission: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))


def commission(amount: Decimal, kind: str | None, category: str | None) -> dict[str, Decimal]:
    """The commission on a transaction in each of the four ways."""
    if (kind or "").lower() in EARN_NOTHING:
        return dict.fromkeys(("flat", "progressive", "tiered", "by_category"), Decimal(0))
    first, second = min(amount, Decimal(100)), min(max(amount - 100, Decimal(0)), Decimal(900))
    above = max(amount - 1_000, Decimal(0))
    band = "0.03" if amount < 100 else "0.02" if amount < 1_000 else "0.01"
    return {
        "flat": amount * Decimal("0.02"),
        "progressive": first * Decimal("0.01") + second * Decimal("0.02") + above * Decimal("0.03"),
        "tiered": amount * Decimal(band),
        "by_category": amount * Decimal(CATEGORIES.get(category or "", "0.02")),
    }


def windows(figure: str, at: int) -> list[tuple[int, int]]:
    """The windows that an instant is in, as (start, end)."""
    if figure in SLIDING:
        last = at // 20_000 * 20_000
        return [(start, start + MINUTE_MS) for start in (last - 40_000, last - 20_000, last) if start >= 0]
    size = 5 * MINUTE_MS if figure == "merchant_5m" else MINUTE_MS
    return [(at // size * size, at // size * size + size)]


def read_plainly(transactions: Iterable[Mapping[str, Any]], figures: Iterable[str]) -> dict[Key, Sums]:
    """All figures of valid transactions, in the order in which they are read; later ones than the grace are left out."""
    found: dict[Key, Sums] = defaultdict(Sums)
    newest, figures = 0, list(figures)
    for fields in transactions:
        amount, at = Decimal(str(fields["amount"])), fields["event_time"]
        newest = max(newest, at)
        earned = commission(amount, fields.get("transaction_type"), fields.get("merchant_category"))
        for figure in figures:
            name = fields.get(NAMED_BY[figure]) or ""
            for start, end in windows(figure, at):
                if end > newest - GRACE_MS:
                    sums = found[(figure, start, name, fields["currency"].upper())]
                    sums.count += 1
                    sums.amount += amount
                    sums.earning += amount if any(earned.values()) else 0
                    for way, value in earned.items():
                        sums.commission[way] += value
    return dict(found)
