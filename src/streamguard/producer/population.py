"""Who pays whom: merchants made once with Faker, and customers that are computed from their number when needed.

A customer is a pure function of (seed, number): home, usual merchants, devices and spending level come out of a
64-bit mix of the two. So a million customers cost no memory and no start-up time, and the same seed gives the same
people in any order of asking. A bounded cache holds those met lately; among a million nearly every one is met for the
first time, so what a single payment does not need (the other merchants, the other devices) is not worked out.
"""

from __future__ import annotations

import math
import warnings
from bisect import bisect
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from random import Random
from typing import Any, NamedTuple

from faker import Faker

from streamguard.producer.errors import InputError
from streamguard.producer.profile import Category, City, Profile

_MASK = 2**64 - 1
_CACHE_SIZE = 50_000
_ADDRESS_POOL = 1024
_NAME_POOL = 1000
USUAL_MERCHANTS = 8

# Share of the customers, and how often they pay compared to the mean (the products add up to 1): most people pay
# seldom, a few all day long.
_ACTIVITY = ((0.40, 0.30), (0.38, 0.90), (0.18, 2.10), (0.04, 4.00))


def mix(*numbers: int) -> int:
    """A 64-bit hash of integers, equal on every machine and Python (splitmix64, Steele et al. 2014)."""
    state = 0
    for number in numbers:
        state = mix_in(state, number)
    return state


def mix_in(state: int, number: int) -> int:
    """One more number into a mix: `mix(a, b)` is `mix_in(mix(a), b)`, so that what numbers share is mixed once."""
    state = (state + number + 0x9E3779B97F4A7C15) & _MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
    return state ^ (state >> 31)


@dataclass(frozen=True)
class Merchant:
    """A place that takes money. `log_median` is the natural logarithm of the category's median amount."""

    merchant_id: str
    name: str
    category: str
    city: City
    latitude: float
    longitude: float
    online: bool
    log_median: float


class Customer(NamedTuple):
    """A person who pays. `level` multiplies the amounts and `spread` the sigma of their logarithm; `habits` is what
    their usual merchants (`Population.usual_merchant`) and devices are mixed from."""

    account_id: str
    city: int
    latitude: float
    longitude: float
    level: float
    spread: float
    currency: str
    habits: int
    device_count: int
    ip_address: str

    def device(self, number: int) -> str:
        """Their device of that number, 0 to device_count - 1."""
        return f"dev-{mix_in(self.habits, 100 + number) & 0xFFFFFFFF:08x}"


class Population:
    """The merchants and customers of one profile and seed. Drawing is by the caller's `Random`, so that it repeats."""

    def __init__(self, profile: Profile, seed: int, customers: int | None = None) -> None:
        self.profile = profile
        self.seed = mix(seed)
        self._mixed_seed = mix(self.seed)
        self.size = profile.customers if customers is None else customers
        self._cache: dict[int, Customer] = {}
        self._cities = _cumulative([city.weight for city in profile.cities])
        self._currencies = list(profile.currencies)
        self._currency_weights = _cumulative(list(profile.currencies.values()))
        faker = _faker(profile.locale, self.seed)
        self.addresses: tuple[str, ...] = tuple(faker.ipv4_public() for _ in range(_ADDRESS_POOL))
        self.merchants = _make_merchants(profile, faker, Random(self.seed))
        self._by_city = _merchants_by_city(profile, self.merchants)
        self._online = tuple(n for n, merchant in enumerate(self.merchants) if merchant.online)
        self._activity = _activity_classes(self.size)

    def customer(self, number: int) -> Customer:
        """The customer of that number, 0 to size - 1."""
        known = self._cache.get(number)
        if known is None:
            if len(self._cache) >= _CACHE_SIZE:
                self._cache.clear()
            known = self._cache[number] = self._make_customer(number)
        return known

    def draw_customer(self, rng: Random) -> Customer:
        """Someone who pays now: the active ones more often."""
        return self.customer(self.draw_number(rng))

    def draw_number(self, rng: Random) -> int:
        """The number of someone who pays now."""
        u = rng.random()
        for limit, first, count in self._activity:  # noqa: B007 - the class that u falls into; the last has limit 1
            if u < limit:
                break
        return first + int(rng.random() * count)

    def draw_merchant(self, rng: Random, customer: Customer) -> Merchant:
        """Mostly one of the customer's usual ones, the first of them most; else one in town or online."""
        u = rng.random()
        if u < 0.85:
            v = rng.random()
            return self.merchants[self.usual_merchant(customer, int(v * v * USUAL_MERCHANTS))]
        return self.merchants[self.merchant_near(rng.random(), customer.city, online=u > 0.94)]

    def usual_merchant(self, customer: Customer, n: int) -> int:
        """The number of their n-th usual merchant, 0 being the one used most; three in four are in town."""
        h = mix_in(customer.habits, n)
        pool = self._online if h & 3 == 0 and self._online else self._by_city[customer.city]
        return pool[int((h >> 8 & 0xFFFFFFFF) / 0x100000000 * len(pool))]

    def merchant_near(self, u: float, city: int, online: bool = False) -> int:
        """The number of a merchant in that city, or an online one, by `u` in [0, 1)."""
        pool = self._online if online and self._online else self._by_city[city]
        return pool[int(u * len(pool))]

    def _make_customer(self, number: int) -> Customer:
        h1 = mix_in(self._mixed_seed, number)
        mixed = mix_in(0, h1)
        h2 = mix_in(mixed, 1)
        city = _pick(self._cities, (h1 & 0xFFFFF) / 0x100000)
        home = self.profile.cities[city]
        # The sum of four uniform bytes, near enough to a bell curve: -2 to 2.
        bell = ((h2 & 0xFF) + (h2 >> 8 & 0xFF) + (h2 >> 16 & 0xFF) + (h2 >> 24 & 0xFF)) / 255 - 2
        return Customer(
            account_id=f"{self.profile.account_prefix}-{number:07d}",
            city=city,
            latitude=round(home.latitude + ((h2 >> 32 & 0xFFFF) / 65535 - 0.5) * 0.2, 5),
            longitude=round(home.longitude + ((h2 >> 48) / 65535 - 0.5) * 0.2, 5),
            level=math.exp(0.45 * bell),
            # From people who always pay about the same (0.7) to those of whom anything may come (1.3).
            spread=0.7 + 0.6 * (h1 >> 50) / 0x3FFF,
            currency=self._currencies[_pick(self._currency_weights, (h1 >> 22 & 0xFFFF) / 0x10000)],
            habits=mix_in(0, mix_in(mixed, 2)),
            device_count=1 + (h1 >> 20 & 3) % 3,
            ip_address=self.addresses[h1 >> 40 & (_ADDRESS_POOL - 1)],
        )


def _faker(locale: str, seed: int) -> Any:
    """A Faker of that locale that starts again from the seed; raises InputError for a locale it does not know."""
    faker = _faker_of(locale)
    faker.seed_instance(seed)
    return faker


@lru_cache(maxsize=4)
def _faker_of(locale: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return Faker(locale)
        except AttributeError:
            raise InputError(f"Faker knows no locale {locale!r}: try pt_BR, en_US or en_GB") from None


def _make_merchants(profile: Profile, faker: Any, rng: Random) -> tuple[Merchant, ...]:
    """One merchant of every category in every city at the least, the rest by weight."""
    cities, categories = profile.cities, list(profile.categories)
    counter = [name for name in categories if not profile.categories[name].online] or categories
    pairs = [(city, category) for city in cities for category in counter]
    pairs += [(rng.choice(cities), category) for category in categories if profile.categories[category].online]
    weights = [profile.categories[name].weight for name in categories]
    city_weights = [city.weight for city in cities]
    missing = max(0, profile.merchants - len(pairs))
    more = rng.choices(cities, city_weights, k=missing), rng.choices(categories, weights, k=missing)
    pairs += zip(*more, strict=True)
    # Beyond a thousand, names come up again, as those of chains do: Faker's English ones take 0.1 ms each.
    names = [faker.company() for _ in range(min(_NAME_POOL, len(pairs)))]
    return tuple(
        _make_merchant(n, names[n % len(names)], city, profile.categories[category], category, rng)
        for n, (city, category) in enumerate(pairs)
    )


def _make_merchant(number: int, name: str, city: City, kind: Category, category: str, rng: Random) -> Merchant:
    return Merchant(
        merchant_id=f"M-{number:05d}",
        name=name,
        category=category,
        city=city,
        latitude=round(city.latitude + rng.uniform(-0.1, 0.1), 5),
        longitude=round(city.longitude + rng.uniform(-0.1, 0.1), 5),
        online=kind.online,
        log_median=math.log(kind.median),
    )


def _merchants_by_city(profile: Profile, merchants: tuple[Merchant, ...]) -> list[tuple[int, ...]]:
    """The numbers of the merchants at a counter in each city: there are more of a category that weighs more."""
    pools: list[list[int]] = [[] for _ in profile.cities]
    index = {id(city): n for n, city in enumerate(profile.cities)}
    for number, merchant in enumerate(merchants):
        if not merchant.online:
            pools[index[id(merchant.city)]].append(number)
    return [tuple(pool) for pool in pools]


def _activity_classes(size: int) -> list[tuple[float, int, int]]:
    """(cumulative share of the payments, first customer, number of customers) of each class that has someone in it."""
    classes: list[tuple[float, int, int]] = []
    first, reached = 0, 0.0
    for share, rate in _ACTIVITY:
        count = round(size * share)
        if count:
            reached += count * rate
            classes.append((reached, first, count))
            first += count
    if first < size or not classes:
        reached += max(1, size - first)
        classes.append((reached, first, max(1, size - first)))
    # Rounding may hand out a customer too many; the last class gives it back.
    limit, start, count = classes[-1]
    classes[-1] = (limit, start, size - start if size > start else 1)
    shares = [(limit / reached, start, count) for limit, start, count in classes]
    return [*shares[:-1], (1.0, *shares[-1][1:])]


def _cumulative(weights: list[float]) -> list[float]:
    """Running shares, the last of them 1."""
    total = sum(weights)
    return [value / total for value in accumulate(weights)]


def _pick(cumulative: list[float], u: float) -> int:
    """The number of the share that `u` in [0, 1) falls into."""
    return min(bisect(cumulative, u), len(cumulative) - 1) if len(cumulative) > 1 else 0
