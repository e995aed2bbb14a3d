"""Values and names of columns as people read them."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_HEADINGS = {
    "by_category": "By category",
    "merchant_id": "Merchant",
    "merchant_name": "Name",
    "merchant_category": "Category",
    "account_id": "Account",
    "transaction_type": "Type",
    "at": "Hour (UTC)",
    "last_at": "Last payment (UTC)",
    "first_at": "First payment (UTC)",
    "best": "Earns most",
    "right": "Of these fraud",
    "times": "Times the usual",
    "monthly": "Commission a month",
    "expected": "Expected",
    "error": "Error of the forecast",
    "error_same_day_last_week": "Error of “as a week before”",
    "retention": "Accounts that stay a month",
    "top_tenth": "The most valuable tenth",
    "peaks": "Peaks",
    "held_out": "Days held out",
}
_SHARES = ("share", "rate")


def heading(name: str) -> str:
    """A name of a table or column: `payments_share` is Payments share."""
    return _HEADINGS.get(name) or name.replace("_", " ").capitalize()


def is_share(column: str) -> bool:
    """Whether values of a column are parts of one, shown as per cent."""
    return column.endswith(_SHARES) or column in ("right", "retention") or column.startswith("error")


def is_number(value: Any) -> bool:
    """Whether a value is set to the right; what is missing follows its column."""
    return value is None or (isinstance(value, int | float | Decimal) and not isinstance(value, bool))


def cell(column: str, value: Any) -> str:
    """A value as the table shows it; a dash where there is none."""
    if value is None:
        return "–"
    if column == "weekday":
        return WEEKDAYS[value - 1]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float | Decimal):
        return percent(value) if is_share(column) else money(value)
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return value.isoformat() if isinstance(value, date) else str(value)


def money(value: float | Decimal) -> str:
    """An amount, with two decimal places."""
    return f"{value:,.2f}"


def percent(value: float | Decimal, places: int = 1) -> str:
    """A part of one as per cent; small ones keep two digits that say something."""
    if 0 < abs(float(value)) < 0.01:
        places = 2
    return f"{value * 100:.{places}f} %"
