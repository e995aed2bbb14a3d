"""Do the numbers come out as the profile says? Fixed seeds; bounds at about 4.5 standard deviations."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from random import Random
from statistics import median, stdev

import pytest

from streamguard.producer.arrivals import DAY_MS, HOUR_MS, Intensity, PoissonSlots, SteadySlots
from streamguard.producer.payments import PaymentMaker
from streamguard.producer.population import USUAL_MERCHANTS, Population, mix
from streamguard.producer.profile import load_profile

# Monday 2 March 2026, 00:00 in Brasília: three weeks without a holiday, with the pay days 5, 6 and 20.
MONDAY_MS = 1_772_420_400_000


def test_hourly_counts_follow_the_intensity() -> None:
    profile = load_profile("br")
    intensity = Intensity(profile, rate_per_s=0.3)
    hours = 21 * 24
    counts: Counter[int] = Counter()
    for time_ms in PoissonSlots(profile, 0.3, MONDAY_MS, Random(11)):
        if time_ms >= MONDAY_MS + 21 * DAY_MS:
            break
        counts[(time_ms - MONDAY_MS) // HOUR_MS] += 1
    expected = [3600 * intensity.at(MONDAY_MS + hour * HOUR_MS + 1) for hour in range(hours)]
    chi_squared = sum((counts[hour] - mean) ** 2 / mean for hour, mean in enumerate(expected))
    assert abs(chi_squared - hours) < 4.5 * math.sqrt(2 * hours)
    for hour, mean in enumerate(expected):
        assert abs(counts[hour] - mean) < 5 * math.sqrt(mean)


def test_the_mean_rate_of_an_ordinary_week_is_the_one_asked_for() -> None:
    profile = load_profile("br")
    plain = profile.model_copy(update={"pay_days": type(profile.pay_days)(days=(), factor=1), "holidays": {}})
    intensity = Intensity(plain, rate_per_s=2.5)
    mean = sum(intensity.at(MONDAY_MS + hour * HOUR_MS) for hour in range(168)) / 168
    assert mean == pytest.approx(2.5)


def test_pay_days_and_holidays_multiply() -> None:
    profile = load_profile("br")
    intensity = Intensity(profile, 1.0)
    noon_ms = MONDAY_MS + 12 * HOUR_MS
    wednesday, thursday_5th = noon_ms + 2 * DAY_MS, noon_ms + 3 * DAY_MS
    weekday = profile.weekdays[3] / profile.weekdays[2]
    assert intensity.at(thursday_5th) / intensity.at(wednesday) == pytest.approx(1.3 * weekday)
    # 12 June 2026 is a Friday, 11 June the Thursday before it; only the first is a holiday.
    friday, thursday = (noon_ms + days * DAY_MS for days in (102, 101))
    assert intensity.at(friday) / intensity.at(thursday) == pytest.approx(
        1.3 * profile.weekdays[4] / profile.weekdays[3]
    )


def test_gaps_are_exponential() -> None:
    profile = load_profile("generic-card").model_copy(update={"hours": (1.0,) * 24})
    slots = PoissonSlots(profile, 0.1, MONDAY_MS, Random(5))
    times = [next(slots) for _ in range(20_000)]
    gaps = [(b - a) / 1000 for a, b in pairwise(times)]
    assert sum(gaps) / len(gaps) == pytest.approx(10, rel=0.03)
    assert median(gaps) == pytest.approx(10 * math.log(2), rel=0.04)
    assert sum(gap > 30 for gap in gaps) / len(gaps) == pytest.approx(math.exp(-3), rel=0.15)


def test_an_hour_without_payments_stays_empty() -> None:
    profile = load_profile("br")
    quiet = profile.model_copy(update={"hours": (0.0,) * 6 + profile.hours[6:]})
    slots = PoissonSlots(quiet, 1.0, MONDAY_MS, Random(1))
    assert all((next(slots) - MONDAY_MS) % DAY_MS >= 6 * HOUR_MS for _ in range(20_000))


def test_steady_slots_are_even_and_skip() -> None:
    slots = SteadySlots(4, 1000)
    assert [next(slots) for _ in range(5)] == [1000, 1250, 1500, 1750, 2000]
    slots.skip(10_000)
    assert next(slots) == 12_250


@pytest.mark.parametrize("category", ["grocery", "transport", "electronics"])
def test_amounts_are_log_normal_by_category(category: str) -> None:
    profile = load_profile("br")
    population = Population(profile, 3)
    maker = PaymentMaker(population, Random(3))
    merchant = next(merchant for merchant in population.merchants if merchant.category == category)
    middling = population.customer(1)._replace(level=1.0, spread=1.0)
    kind = profile.categories[category]
    amounts = [maker.amount(middling, merchant) for _ in range(8000)]
    assert kind.min <= min(amounts) and max(amounts) <= kind.max
    assert median(amounts) == pytest.approx(kind.median, rel=0.06)
    inside = sum(
        kind.median / math.exp(kind.spread) < amount < kind.median * math.exp(kind.spread) for amount in amounts
    )
    assert inside / len(amounts) == pytest.approx(0.683, abs=0.03)


def test_customers_differ_in_level_and_spread() -> None:
    population = Population(load_profile("br"), 3)
    people = [population.customer(number) for number in range(2000)]
    assert median(person.level for person in people) == pytest.approx(1, rel=0.05)
    assert max(person.level for person in people) > 3 * min(person.level for person in people)
    assert 0.7 <= min(person.spread for person in people) < 0.72
    assert 1.28 < max(person.spread for person in people) <= 1.3
    maker = PaymentMaker(population, Random(3))
    merchant = next(merchant for merchant in population.merchants if merchant.category == "clothing")
    sigmas = []
    for spread in (0.7, 1.3):
        person = people[0]._replace(level=1.0, spread=spread)
        sigmas.append(stdev(math.log(maker.amount(person, merchant)) for _ in range(2000)))
    assert sigmas[1] / sigmas[0] == pytest.approx(1.3 / 0.7, rel=0.12)


def test_few_customers_make_much_of_the_traffic_and_each_stays_the_same() -> None:
    population = Population(load_profile("br"), 3, 1000)
    rng = Random(1)
    counts = Counter(population.draw_number(rng) for _ in range(100_000))
    assert len(counts) > 990
    busiest = sum(count for _, count in counts.most_common(200)) / 100_000
    assert 0.42 < busiest < 0.58
    assert population.customer(17) == Population(load_profile("br"), 3, 1000).customer(17)
    assert population.customer(17) != Population(load_profile("br"), 4, 1000).customer(17)


def test_habits_make_most_payments_at_the_usual_merchants_in_town() -> None:
    population = Population(load_profile("br"), 3)
    rng = Random(2)
    customer = population.customer(42)
    numbers = [population.usual_merchant(customer, n) for n in range(USUAL_MERCHANTS)]
    usual = {population.merchants[number].merchant_id for number in numbers}
    drawn = [population.draw_merchant(rng, customer) for _ in range(4000)]
    assert sum(merchant.merchant_id in usual for merchant in drawn) / 4000 > 0.83
    home = population.profile.cities[customer.city]
    assert all(merchant.online or merchant.city == home for merchant in drawn)


def test_mix_spreads_its_bits() -> None:
    values = [mix(7, number) for number in range(4096)]
    assert len(set(values)) == 4096
    for bit in range(64):
        assert abs(sum(value >> bit & 1 for value in values) - 2048) < 4.5 * 32
