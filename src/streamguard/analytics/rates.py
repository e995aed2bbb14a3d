"""The rates of commission: those that the live figures use, read from the DEFINEs of ksqldb/analytics.sql."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from streamguard.config import UserError
from streamguard.config.resources import sql_file
from streamguard.sqldeploy.script import defined

FILE = "analytics.sql"
_CATEGORY = "commission_category_"


class RatesError(UserError):
    """The rates cannot be read from the SQL file."""


@dataclass(frozen=True)
class Rates:
    """Shares of an amount, of at most six places, and the bounds between bands, in units of the currency of the payment.

    `categories` has the rates of merchant categories that are not `flat`; `free_types` the transaction types, in lower
    case, that earn nothing.
    """

    flat: Decimal
    bands: tuple[Decimal, Decimal]
    band_rates: tuple[Decimal, Decimal, Decimal]
    categories: Mapping[str, Decimal]
    free_types: frozenset[str]


def read_rates() -> Rates:
    """The rates of `ksqldb/analytics.sql`, the edited file of the current folder first. Raises RatesError."""
    file = sql_file(FILE)
    defines = defined(file)

    def number(name: str) -> Decimal:
        try:
            return Decimal(defines[name])
        except (KeyError, InvalidOperation):
            raise RatesError(
                f"{file}: DEFINE {name} = 'NUMBER'; is expected, not {defines.get(name, 'nothing')!r}"
            ) from None

    return Rates(
        flat=number("commission_flat"),
        bands=(number("commission_band_1"), number("commission_band_2")),
        band_rates=(number("commission_rate_1"), number("commission_rate_2"), number("commission_rate_3")),
        categories={name.removeprefix(_CATEGORY): number(name) for name in defines if name.startswith(_CATEGORY)},
        free_types=frozenset(defines.get("no_commission", "").lower().split()),
    )
