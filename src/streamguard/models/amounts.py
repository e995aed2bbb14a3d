"""Amounts as a person reads them: with the decimal places of their currency."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from streamguard.models.iso import places

_USUAL, _FINEST = 2, 4
_STEPS = tuple(Decimal(1).scaleb(-count) for count in range(_FINEST + 1))
"""The smallest amount above 0, by its count of decimal places."""


def in_coins(amount: Decimal, currency: str | None) -> Decimal:
    """The amount, rounded to the smallest coin of its currency.

    Where the currency is not known it has two to four places, as many as it needs.
    """
    if currency is not None:
        step = _STEPS[places(currency)]
        return amount if amount.same_quantum(step) else amount.quantize(step, rounding=ROUND_HALF_EVEN)
    fine = _rounded(amount, _FINEST)
    return next(short for count in range(_USUAL, _FINEST + 1) if (short := _rounded(fine, count)) == fine)


def show_amount(amount: Decimal | None, currency: str | None = None) -> str:
    """`4,000` (JPY), `12.50` (EUR), `1.250` (KWD); empty without an amount. The currency itself is not in the text."""
    return "" if amount is None else f"{in_coins(amount, currency):,f}"


def _rounded(amount: Decimal, count: int) -> Decimal:
    return amount.quantize(_STEPS[count], rounding=ROUND_HALF_EVEN)
