"""Single payments: the fields of `Transaction`, drawn fast for a customer at a merchant.

No Faker and no model here: a payment is a dict in the order of design section 4, encoded once by orjson.
"""

from __future__ import annotations

import math
from bisect import bisect
from itertools import accumulate
from random import Random
from typing import Any, NamedTuple

from streamguard.models import places
from streamguard.producer.population import Customer, Merchant, Population
from streamguard.producer.profile import City, PaymentKind

Fields = dict[str, Any]

_OTHER_DRAWS = 8
_MOST_TRIPS = 10_000


class Payment(NamedTuple):
    """A payment that will happen: `label` names the fraud it belongs to, `lookalike` the honest habit; else empty.

    `incident` is one for all payments of one played scenario.
    """

    event_time: int
    fields: Fields
    label: str = ""
    lookalike: str = ""
    incident: str = ""


class PaymentMaker:
    """Draws payments of one population with one `Random`."""

    def __init__(self, population: Population, rng: Random) -> None:
        self.population = population
        self.profile = population.profile
        self.rng = rng
        self._counter = _Kinds(self.profile.payments, "counter")
        self._online = _Kinds(self.profile.payments, "online")
        self._decimals = min(self.profile.decimals, *map(places, self.profile.currencies))
        self._smallest = 10.0**-self._decimals
        self._trips: dict[str, tuple[int, int]] = {}
        self._with_commission = any(category.commission for category in self.profile.categories.values())

    def ordinary(self, time_ms: int = 0) -> Fields:
        """What most payments are: somebody, somewhere usual, an amount of the merchant's category and their level.

        Who is on a trip at `time_ms` does not pay at home: somebody else does.
        """
        customer = self.population.draw_customer(self.rng)
        if self._trips:
            for _ in range(_OTHER_DRAWS):
                first_ms, last_ms = self._trips.get(customer.account_id, (0, -1))
                if not first_ms <= time_ms <= last_ms:
                    break
                customer = self.population.draw_customer(self.rng)
        merchant = self.population.draw_merchant(self.rng, customer)
        return self.payment(customer, merchant, self.amount(customer, merchant))

    def sends_away(self, customer: Customer, first_ms: int, last_ms: int) -> None:
        """The customer makes no ordinary payments between these instants."""
        if len(self._trips) >= _MOST_TRIPS:
            over = sorted(self._trips, key=lambda account: self._trips[account][1])[: _MOST_TRIPS // 2]
            for account in over:
                del self._trips[account]
        self._trips[customer.account_id] = (first_ms, last_ms)

    def has_travelled(self, customer: Customer) -> bool:
        """Whether there is a trip of theirs, past, present or planned."""
        return customer.account_id in self._trips

    def amount(self, customer: Customer, merchant: Merchant) -> float:
        """Log-normal by the merchant's category, the customer's level and spread, within the category's limits."""
        kind = self.profile.categories[merchant.category]
        sigma = kind.spread * customer.spread
        for _ in range(8):
            value = customer.level * math.exp(merchant.log_median + sigma * self.rng.gauss(0.0, 1.0))
            if kind.min <= value <= kind.max:
                return self.money(value)
        return self.money(min(max(value, kind.min), kind.max))

    def money(self, value: float) -> float:
        """An amount as people pay it: in cents, or in whole units where profile or currency has no coins; never nothing."""
        return max(round(value, self._decimals), self._smallest)

    def payment(
        self,
        customer: Customer,
        merchant: Merchant,
        amount: float,
        place: City | None = None,
        device: str | None = None,
    ) -> Fields:
        """The fields but for transaction_id and event_time. `place` moves it elsewhere, `device` is a stranger's."""
        kind = (self._online if merchant.online else self._counter).draw(self.rng)
        if place is not None:
            where, latitude, longitude = place, place.latitude, place.longitude
        elif merchant.online:
            where = self.profile.cities[customer.city]
            latitude, longitude = customer.latitude, customer.longitude
        else:
            where, latitude, longitude = merchant.city, merchant.latitude, merchant.longitude
        owned = customer.device_count
        fields: Fields = {
            "transaction_id": "",
            "account_id": customer.account_id,
            "amount": amount,
            "currency": customer.currency,
            "transaction_type": kind.type,
            "channel": kind.channel,
            "merchant_id": merchant.merchant_id,
            "merchant_name": merchant.name,
            "merchant_category": merchant.category,
            "city": where.name,
            "country": where.country,
            "latitude": latitude,
            "longitude": longitude,
            "device_id": device or customer.device(0 if owned == 1 else int(self.rng.random() * owned)),
            "ip_address": customer.ip_address if device is None else self.stranger_address(),
            "event_time": 0,
        }
        if self._with_commission:
            self._add_commission(fields)
        return fields

    def stranger_device(self) -> str:
        """A device that no customer owns by habit."""
        return f"dev-x{self.rng.getrandbits(32):08x}"

    def stranger_address(self) -> str:
        """Any address of the pool."""
        return self.rng.choice(self.population.addresses)

    def _add_commission(self, fields: Fields) -> None:
        """Payment service providers note what they keep; consumers that do not know the fields leave them alone."""
        commission = self.profile.categories[fields["merchant_category"]].commission
        fields["commission_type"] = commission.kind if commission else None
        fields["commission"] = commission.of(fields["amount"]) if commission else None


class _Kinds:
    """The ways to pay at a counter or online, drawn by weight."""

    def __init__(self, kinds: tuple[PaymentKind, ...], where: str) -> None:
        self._kinds = [kind for kind in kinds if kind.where in (where, "both")]
        self._limits = list(accumulate(kind.weight for kind in self._kinds))

    def draw(self, rng: Random) -> PaymentKind:
        return self._kinds[min(bisect(self._limits, rng.random() * self._limits[-1]), len(self._kinds) - 1)]
