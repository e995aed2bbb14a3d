"""Currencies as people write them: ISO 4217 codes in any letter case, and the signs that mean one currency alone."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from streamguard.models.iso import CURRENCIES

SIGNS = {
    "€": "EUR", "£": "GBP", "R$": "BRL", "US$": "USD", "₹": "INR", "₽": "RUB", "₺": "TRY", "₩": "KRW", "₦": "NGN",
    "₫": "VND", "₴": "UAH", "₪": "ILS", "₱": "PHP", "฿": "THB", "₵": "GHS", "KSh": "KES", "zł": "PLN", "Kč": "CZK",
}  # fmt: skip
"""Not here: $, ¥ and kr, which several currencies share."""


def read_currency(value: Any) -> str:
    """The code in capitals. Raises ValueError for what is no currency in use."""
    text = str(value).strip()
    code = SIGNS.get(text) or text.upper()
    if code not in CURRENCIES:
        raise ValueError(f"currency {value!r} is no ISO 4217 code such as EUR or KES")
    return code


def currency_in_name(column: str) -> str | None:
    """The currency in the name of an amount's column: `valor (R$)`, `Amount (USD)`, `amount_eur`."""
    for text in re.split(r"[\s()\[\]_/-]+", column):
        with suppress(ValueError):
            return read_currency(text)
    return None
