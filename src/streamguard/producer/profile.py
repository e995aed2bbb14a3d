"""Profiles: what payments look like in one place, as a YAML file that a person can edit.

A profile names its currencies, cities, categories with their amounts, ways of paying, hours and days, and how much
fraud of each kind there is. `load_profile` takes the name of one that ships with the package, or a path to a file.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from streamguard.config.resources import profiles
from streamguard.models import COUNTRIES, CURRENCIES, reason_of
from streamguard.producer.errors import InputError

DEFAULT_PROFILE = "br"

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Day = Annotated[int, Field(ge=1, le=31)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class City(_Part):
    """A place with its weight in the population; `abroad` ones are only travelled to."""

    name: str
    country: str
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    weight: Weight = 1.0

    @model_validator(mode="after")
    def _country_is_known(self) -> City:
        if self.country not in COUNTRIES:
            raise ValueError(f"country {self.country!r} is no ISO 3166 alpha-2 code")
        return self


class Commission(_Part):
    """What a payment service provider keeps. `steps` are (amount from which on, rate), in ascending order.

    flat: one rate. tiered: the rate of the step that the amount reaches, on all of it. progressive: each slice of the
    amount at its own step's rate, as an income tax does.
    """

    kind: Literal["flat", "tiered", "progressive"]
    steps: tuple[tuple[Weight, Share], ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _steps_rise_from_nothing(self) -> Commission:
        starts = [start for start, _ in self.steps]
        if starts[0] != 0 or starts != sorted(set(starts)):
            raise ValueError(f"steps begin at {starts}: the first must be 0, each further one higher")
        return self

    def of(self, amount: float) -> float:
        """The commission on `amount`, rounded to cents."""
        if self.kind == "flat":
            return round(amount * self.steps[0][1], 2)
        if self.kind == "tiered":
            rate = [rate for start, rate in self.steps if amount >= start][-1]
            return round(amount * rate, 2)
        ends = [start for start, _ in self.steps[1:]] + [float("inf")]
        steps = zip(self.steps, ends, strict=True)
        slices = ((min(amount, end) - start) * rate for (start, rate), end in steps if amount > start)
        return round(sum(slices), 2)


class Category(_Part):
    """A kind of merchant. Amounts are log-normal: `median` in the currency, `spread` the sigma, cut at min and max."""

    weight: Weight
    median: Amount
    spread: float = Field(gt=0, le=3)
    min: Amount = 1.0
    max: Amount
    online: bool = False
    commission: Commission | None = None

    @model_validator(mode="after")
    def _limits_hold_the_median(self) -> Category:
        if not self.min <= self.median <= self.max:
            raise ValueError(f"median {self.median:g} does not lie between min {self.min:g} and max {self.max:g}")
        return self


class PaymentKind(_Part):
    """A way to pay. `where` says whether it is used at a counter, online, or both."""

    type: str
    channel: str
    weight: Weight
    where: Literal["counter", "online", "both"] = "both"


class PayDays(_Part):
    days: tuple[Day, ...] = ()
    factor: Amount = 1.0


class Profile(_Part):
    """All of it. Factors of hours, weekdays (Monday first), pay days and holidays multiply the mean arrival rate."""

    name: str
    title: str
    locale: str
    utc_offset_hours: float = Field(ge=-12, le=14)
    account_prefix: str
    currencies: dict[str, Weight] = Field(min_length=1)
    decimals: int = Field(2, ge=0, le=2)
    customers: int = Field(5000, ge=1)
    merchants: int = Field(1500, ge=1)
    transactions_per_customer_per_day: Amount = 3.0
    high_amount: Amount
    small_amount: Amount
    payments: tuple[PaymentKind, ...] = Field(min_length=1)
    categories: dict[str, Category] = Field(min_length=1)
    cities: tuple[City, ...] = Field(min_length=1)
    abroad: tuple[City, ...] = Field(min_length=1)
    hours: tuple[Weight, ...] = Field(min_length=24, max_length=24)
    weekdays: tuple[Weight, ...] = Field(min_length=7, max_length=7)
    pay_days: PayDays = PayDays(days=(), factor=1.0)
    holidays: dict[str, Weight] = {}
    fraud: dict[str, Share] = {}
    lookalikes: dict[str, Share] = {}

    @model_validator(mode="after")
    def _fits_together(self) -> Profile:
        unknown = sorted(set(self.currencies) - CURRENCIES)
        if unknown:
            raise ValueError(f"currency {unknown[0]!r} is no ISO 4217 code")
        for date in self.holidays:
            _check_month_and_day(date)
        places = {kind.where for kind in self.payments if kind.weight > 0}
        if "both" not in places and places != {"counter", "online"}:
            raise ValueError("payments need a way to pay at the counter and one online")
        if sum(self.hours) <= 0 or sum(self.weekdays) <= 0:
            raise ValueError("hours and weekdays need a factor above 0")
        weights = {
            "currencies": sum(self.currencies.values()),
            "cities": sum(city.weight for city in self.cities),
            "categories": sum(category.weight for category in self.categories.values()),
        }
        for name, weight in weights.items():
            if weight <= 0:
                raise ValueError(f"{name} need a weight above 0")
        if all(category.online for category in self.categories.values()):
            raise ValueError("categories need one that is not online")
        return self


def _check_month_and_day(text: str) -> None:
    """Raises ValueError for what is no date of a leap year as `MM-DD`."""
    try:
        time.strptime(f"2024-{text}", "%Y-%m-%d")
        is_written_so = len(text) == 5
    except ValueError:
        is_written_so = False
    if not is_written_so:
        raise ValueError(f"holiday {text!r} is no month and day such as 12-25")


def profile_names() -> list[str]:
    """The profiles that ship with the package."""
    return list(profiles())


def load_profile(name: str) -> Profile:
    """Read a profile by name or by path; raises InputError naming what is wrong and the choices."""
    path = profiles().get(name, Path(name))
    if path == Path(name) and path.suffix not in (".yaml", ".yml"):
        raise InputError(f"unknown profile {name!r}: choose {', '.join(profile_names())}, or a .yaml file")
    try:
        return Profile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise InputError(f"profile {path}: {reason_of(error)}") from None
    except OSError as error:
        raise InputError(f"cannot read profile {path}: {error.strerror or error}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"cannot read profile {path}: {' '.join(str(error).split())}") from None
