"""Currencies as people write them: ISO 4217 codes in any letter case, and the signs that mean one currency alone."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from streamguard.models.iso import CURRENCIES, NUMBERED

SIGNS = {
    "€": "EUR", "£": "GBP", "R$": "BRL", "US$": "USD", "₹": "INR", "₽": "RUB", "₺": "TRY", "₩": "KRW", "₦": "NGN",
    "₫": "VND", "₴": "UAH", "₪": "ILS", "₱": "PHP", "฿": "THB", "₵": "GHS", "KSh": "KES", "zł": "PLN", "Kč": "CZK",
}  # fmt: skip
"""Not here: $, ¥ and kr, which several currencies share."""


def read_currency(value: Any) -> str:
    """The code in capitals, of a number (840, 36 for 036) too. Raises ValueError for what is no currency in use."""
    text = str(value).strip()
    code = SIGNS.get(text) or text.upper()
    if code[:1].isdigit():
        code = NUMBERED.get(code.removesuffix(".0").zfill(3), code)
    if code not in CURRENCIES:
        raise ValueError(f"currency {value!r} is no ISO 4217 code such as EUR or KES")
    return code


_ENGLISH = frozenset(word for name in ("all", "top", "try", "cup", "mad", "pen") for word in (name, name.title()))
"""Words that are codes, too: `total_all` is not in Albanian lek."""


def currency_in_name(column: str) -> str | None:
    """The currency in the name of an amount's column: `valor (R$)`, `Amount (USD)`, `amount_eur`."""
    for text in re.split(r"[\s()\[\]_/-]+", column):
        if text[:1].isdigit() or text in _ENGLISH:
            continue
        with suppress(ValueError):
            return read_currency(text)
    return None
