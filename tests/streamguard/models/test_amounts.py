"""How amounts are shown: each currency with its own decimal places."""

from __future__ import annotations

from decimal import Decimal

import pytest

from streamguard.models import show_amount


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        ("4000.0000", "JPY", "4,000"),
        ("4000.0000", "EUR", "4,000.00"),
        ("1.2500", "KWD", "1.250"),
        ("1234567.8900", "BRL", "1,234,567.89"),
        ("0.30000000000000004", "USD", "0.30"),
        ("100", "JPY", "100"),
        ("999999999999999.9999", None, "999,999,999,999,999.9999"),
        ("12.5000", None, "12.50"),
        ("12.3450", None, "12.345"),
        ("12.34565", None, "12.3456"),
    ],
)
def test_an_amount_has_the_places_of_its_currency(amount: str, currency: str | None, shown: str) -> None:
    assert show_amount(Decimal(amount), currency) == shown


def test_no_amount_is_shown_as_nothing() -> None:
    assert show_amount(None, "EUR") == ""
