"""The kinds of fraud, and of honest habits that look like fraud, that can be injected into the stream.

A scenario is one function: it takes a `Stage` and the instant it begins (epoch milliseconds) and returns the payments
it consists of, in any order of time. Registering it is all that is needed; profiles then name it with a share.

    kind                  payments  what gives it away
    high_amount           1         an amount above the profile's high_amount
    velocity_burst        4-8       more than 3 in one tumbling minute
    border_burst          4-6       as fast, but across the border of two minutes, at most 3 in each
    card_testing          8-16      very small online amounts at many merchants within two minutes
    account_takeover      2-4       a strange device and address, rising amounts
    impossible_travel     2         at home, and minutes later on another continent
    compromised_terminal  10-30     many customers of one merchant, over four weeks
    mule_account          6-12      money comes in from many sides, and leaves in one piece
    slow_drip             12-24     the same small amount to one merchant, hours apart

    salary_day            4-6       bills paid in an evening
    holiday_shopping      5-9       many shops in an afternoon
    family_trip           4-8       payments in another city, as far off as a plane goes in the time
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from streamguard.producer.payments import Fields, Payment, PaymentMaker
from streamguard.producer.population import USUAL_MERCHANTS, Customer, Merchant

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

Plan = list[tuple[int, Fields]]


class Stage:
    """What a scenario plays with: the maker of payments, the random generator, and the customers."""

    def __init__(self, maker: PaymentMaker) -> None:
        self.maker = maker
        self.rng: Random = maker.rng
        self.population = maker.population
        self.profile = maker.profile

    def victim(self) -> Customer:
        """Anyone, the quiet ones as likely as the active ones: attackers do not choose by activity.

        Travellers are left to their trips where there are others, or a trip would be confused with a payment at home.
        """
        for _ in range(8):
            customer = self.population.customer(self.rng.randrange(self.population.size))
            if not self.maker.has_travelled(customer):
                break
        return customer

    def merchant(self, customer: Customer, online: bool = False) -> Merchant:
        """A merchant in the customer's town, or an online one."""
        return self.population.merchants[self.population.merchant_near(self.rng.random(), customer.city, online)]

    def money(self, value: float) -> float:
        """See `PaymentMaker.money`."""
        return self.maker.money(value)

    def below(self, limit: float, low: float = 0.02) -> float:
        """An amount between `low` and 0.95 of `limit`."""
        return self.money(limit * self.rng.uniform(low, 0.95))

    def normal_amount(self, customer: Customer, merchant: Merchant) -> float:
        """An ordinary amount that stays under the high-amount limit."""
        return min(self.maker.amount(customer, merchant), self.money(self.profile.high_amount * 0.9))

    def modest_amount(self, customer: Customer, merchant: Merchant) -> float:
        """A normal amount that is not far above what the customer is used to pay, so that no rule of averages is hit."""
        numbers = [self.population.usual_merchant(customer, n) for n in range(USUAL_MERCHANTS)]
        usual = [math.exp(self.population.merchants[number].log_median) for number in numbers]
        # How often each is visited: see Population.draw_merchant.
        weights = [((n + 1) / len(usual)) ** 0.5 - (n / len(usual)) ** 0.5 for n in range(len(usual))]
        habit = customer.level * sum(weight * median for weight, median in zip(weights, usual, strict=True))
        return min(self.normal_amount(customer, merchant), self.money(2 * habit))


Scenario = Callable[[Stage, int], Plan]


@dataclass(frozen=True)
class Kind:
    """A registered scenario. `mean_size` is its expected number of payments, to turn shares into frequencies."""

    name: str
    play: Scenario
    mean_size: float
    is_fraud: bool

    def plan(self, stage: Stage, start_ms: int) -> list[Payment]:
        """Its payments with their labels."""
        label, lookalike = (self.name, "") if self.is_fraud else ("", self.name)
        return [Payment(time_ms, fields, label, lookalike) for time_ms, fields in self.play(stage, start_ms)]


KINDS: dict[str, Kind] = {}


def scenario(mean_size: float, is_fraud: bool = True) -> Callable[[Scenario], Scenario]:
    """Register a function under its own name."""

    def register(play: Scenario) -> Scenario:
        name = play.__name__
        if name in KINDS:
            raise ValueError(f"scenario {name} is registered twice")
        KINDS[name] = Kind(name, play, mean_size, is_fraud)
        return play

    return register


@scenario(mean_size=1)
def high_amount(stage: Stage, start_ms: int) -> Plan:
    """One payment above the limit, up to four times of it."""
    victim = stage.victim()
    amount = stage.money(stage.profile.high_amount * stage.rng.uniform(1.02, 4.0))
    return [(start_ms, stage.maker.payment(victim, stage.merchant(victim, online=stage.rng.random() < 0.6), amount))]


@scenario(mean_size=6)
def velocity_burst(stage: Stage, start_ms: int) -> Plan:
    """4 to 8 payments of one account inside the next whole minute."""
    return burst(stage, stage.victim(), start_ms // MINUTE_MS * MINUTE_MS + MINUTE_MS, stage.rng.randint(4, 8))


def burst(stage: Stage, victim: Customer, window_ms: int, count: int) -> Plan:
    """`count` payments of one account in the tumbling minute that begins at `window_ms`."""
    times = sorted(stage.rng.randrange(500, MINUTE_MS - 500) for _ in range(count))
    return [(window_ms + offset, _normal_payment(stage, victim, online=True)) for offset in times]


@scenario(mean_size=5)
def border_burst(stage: Stage, start_ms: int) -> Plan:
    """2 or 3 payments in the last 20 s of a minute, 2 or 3 in the first 20 s of the next: no minute holds over 3."""
    victim, rng = stage.victim(), stage.rng
    border_ms = start_ms // MINUTE_MS * MINUTE_MS + 2 * MINUTE_MS
    offsets = [-rng.randrange(1, 20_000) for _ in range(rng.randint(2, 3))]
    offsets += [rng.randrange(0, 20_000) for _ in range(rng.randint(2, 3))]
    return [(border_ms + offset, _normal_payment(stage, victim, online=True)) for offset in offsets]


@scenario(mean_size=12)
def card_testing(stage: Stage, start_ms: int) -> Plan:
    """Stolen card numbers are tried with small amounts, at any merchant that accepts them."""
    victim, rng = stage.victim(), stage.rng
    device, plan, time_ms = stage.maker.stranger_device(), Plan(), start_ms
    for _ in range(rng.randint(8, 16)):
        amount = stage.below(stage.profile.small_amount, low=0.05)
        plan.append((time_ms, stage.maker.payment(victim, stage.merchant(victim, online=True), amount, device=device)))
        time_ms += rng.randrange(3 * SECOND_MS, 12 * SECOND_MS)
    return plan


@scenario(mean_size=3)
def account_takeover(stage: Stage, start_ms: int) -> Plan:
    """A stranger's device from abroad, two to four payments within half an hour, each larger than the last."""
    victim, rng = stage.victim(), stage.rng
    device, place = stage.maker.stranger_device(), rng.choice(stage.profile.abroad)
    plan, time_ms, amount = Plan(), start_ms, stage.profile.high_amount * rng.uniform(0.05, 0.2)
    for _ in range(rng.randint(2, 4)):
        merchant = stage.merchant(victim, online=True)
        plan.append((time_ms, stage.maker.payment(victim, merchant, stage.money(amount), place=place, device=device)))
        time_ms += rng.randrange(2 * MINUTE_MS, 8 * MINUTE_MS)
        amount *= rng.uniform(1.3, 2.4)
    return plan


@scenario(mean_size=2)
def impossible_travel(stage: Stage, start_ms: int) -> Plan:
    """A payment at a counter at home, and 5 to 25 minutes later one at a counter abroad: a copied card."""
    victim, rng = stage.victim(), stage.rng
    away = rng.choice(stage.profile.abroad)
    home = stage.maker.payment(victim, stage.merchant(victim), stage.normal_amount(victim, stage.merchant(victim)))
    abroad = stage.maker.payment(victim, stage.merchant(victim), stage.below(stage.profile.high_amount), place=away)
    return [(start_ms, home), (start_ms + rng.randrange(5 * MINUTE_MS, 25 * MINUTE_MS), abroad)]


@scenario(mean_size=20)
def compromised_terminal(stage: Stage, start_ms: int) -> Plan:
    """One merchant's terminal copies cards for 28 days; its customers pay two to four times the usual amount."""
    rng, merchant = stage.rng, stage.merchant(stage.victim())
    plan = Plan()
    for _ in range(rng.randint(10, 30)):
        victim = stage.victim()
        amount = min(stage.normal_amount(victim, merchant) * rng.uniform(2, 4), stage.profile.high_amount * 0.95)
        plan.append((start_ms + rng.randrange(28 * DAY_MS), stage.maker.payment(victim, merchant, stage.money(amount))))
    return plan


@scenario(mean_size=9)
def mule_account(stage: Stage, start_ms: int) -> Plan:
    """Transfers from many sides within two hours, then nearly all of it leaves at once, under the limit."""
    mule, rng = stage.victim(), stage.rng
    count = rng.randint(5, 11)
    share = stage.profile.high_amount * 0.9 / count
    times = sorted(rng.randrange(2 * HOUR_MS) for _ in range(count))
    amounts = [stage.money(share * rng.uniform(0.6, 1.0)) for _ in times]
    plan = Plan()
    for offset_ms, amount in zip(times, amounts, strict=True):
        fields = stage.maker.payment(mule, stage.merchant(mule, online=True), amount)
        fields["transaction_type"] = "transfer_in"
        plan.append((start_ms + offset_ms, fields))
    out = stage.maker.payment(mule, stage.merchant(mule, online=True), stage.money(sum(amounts) * 0.97))
    out["transaction_type"] = "transfer_out"
    plan.append((start_ms + times[-1] + rng.randrange(2 * MINUTE_MS, 20 * MINUTE_MS), out))
    return plan


@scenario(mean_size=18)
def slow_drip(stage: Stage, start_ms: int) -> Plan:
    """The same small sum to the same merchant every few hours, for days, under every limit."""
    victim, rng = stage.victim(), stage.rng
    merchant, amount = stage.merchant(victim, online=True), stage.below(stage.profile.high_amount / 20, low=0.3)
    plan, time_ms = Plan(), start_ms
    for _ in range(rng.randint(12, 24)):
        plan.append((time_ms, stage.maker.payment(victim, merchant, stage.money(amount * rng.uniform(0.97, 1.03)))))
        time_ms += rng.randrange(3 * HOUR_MS, 9 * HOUR_MS)
    return plan


@scenario(mean_size=5, is_fraud=False)
def salary_day(stage: Stage, start_ms: int) -> Plan:
    """The month's bills in one evening, some minutes apart."""
    return _outing(stage, start_ms, stage.rng.randint(4, 6), gap_ms=(4 * MINUTE_MS, 20 * MINUTE_MS), online=True)


@scenario(mean_size=7, is_fraud=False)
def holiday_shopping(stage: Stage, start_ms: int) -> Plan:
    """Shop after shop in an afternoon."""
    return _outing(stage, start_ms, stage.rng.randint(5, 9), gap_ms=(5 * MINUTE_MS, 35 * MINUTE_MS), online=False)


@scenario(mean_size=6, is_fraud=False)
def family_trip(stage: Stage, start_ms: int) -> Plan:
    """Away from home for some days: the journey takes half a day or more, so no plane is outrun."""
    rng, traveller = stage.rng, stage.victim()
    cities = stage.profile.cities
    there = rng.randrange(len(cities))
    if there == traveller.city:
        there = (there + 1) % len(cities)
    plan, time_ms = Plan(), start_ms + rng.randrange(12 * HOUR_MS, 24 * HOUR_MS)
    for _ in range(rng.randint(4, 8)):
        merchant = stage.population.merchants[stage.population.merchant_near(rng.random(), there)]
        amount = stage.modest_amount(traveller, merchant)
        plan.append((time_ms, stage.maker.payment(traveller, merchant, amount, place=cities[there])))
        time_ms += rng.randrange(HOUR_MS, 10 * HOUR_MS)
    stage.maker.sends_away(traveller, start_ms, plan[-1][0] + 12 * HOUR_MS)
    return plan


def _outing(stage: Stage, start_ms: int, count: int, gap_ms: tuple[int, int], online: bool) -> Plan:
    """`count` modest payments of somebody, each that much after the last."""
    customer, plan, time_ms = stage.victim(), Plan(), start_ms
    for _ in range(count):
        merchant = stage.merchant(customer, online)
        plan.append((time_ms, stage.maker.payment(customer, merchant, stage.modest_amount(customer, merchant))))
        time_ms += stage.rng.randrange(*gap_ms)
    return plan


def _normal_payment(stage: Stage, customer: Customer, online: bool) -> Fields:
    """An ordinary payment under the high-amount limit."""
    merchant = stage.merchant(customer, online)
    return stage.maker.payment(customer, merchant, stage.normal_amount(customer, merchant))
