"""Do the numbers come out as the profile says? Fixed seeds; bounds at about 4.5 standard deviations."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from itertools import pairwise
from random import Random
from statistics import NormalDist, median, stdev

import pytest

from streamguard.producer.arrivals import DAY_MS, HOUR_MS, Intensity, PoissonSlots, SteadySlots
from streamguard.producer.pace import until
from streamguard.producer.payments import PaymentMaker
from streamguard.producer.population import USUAL_MERCHANTS, Population, mix
from streamguard.producer.profile import load_profile, profile_names
from streamguard.producer.runs import Recipe, Run
from streamguard.producer.scenarios import KINDS

# Monday 2 March 2026, 00:00 in Brasília: three weeks without a holiday, with the pay days 5, 6 and 20.
MONDAY_MS = 1_772_420_400_000


@pytest.mark.parametrize("name", profile_names())
def test_hourly_counts_follow_the_intensity(name: str) -> None:
    profile = load_profile(name)
    intensity = Intensity(profile, rate_per_s=0.15)
    hours = 21 * 24
    slots = until(PoissonSlots(profile, 0.15, MONDAY_MS, Random(11)), MONDAY_MS + 21 * DAY_MS)
    counts = Counter((time_ms - MONDAY_MS) // HOUR_MS for time_ms in slots)
    expected = [3600 * intensity.at(MONDAY_MS + hour * HOUR_MS + 1) for hour in range(hours)]
    chi_squared = sum((counts[hour] - mean) ** 2 / mean for hour, mean in enumerate(expected))
    assert abs(chi_squared - hours) < 4.5 * math.sqrt(2 * hours)
    for hour, mean in enumerate(expected):
        assert abs(counts[hour] - mean) < 5 * math.sqrt(mean)


def test_the_hours_of_a_batch_follow_the_intensity_with_all_its_fraud() -> None:
    run = Run(Recipe(seed=12, customers=2000, fraud_share=0.1))
    intensity = Intensity(run.profile, 2000 * run.profile.transactions_per_customer_per_day / 86_400)
    records = run.batch(None, MONDAY_MS, MONDAY_MS + 7 * DAY_MS, 0)
    counts = Counter((record.event_time - MONDAY_MS) // HOUR_MS for record in records)
    expected = [3600 * intensity.at(MONDAY_MS + hour * HOUR_MS + 1) for hour in range(7 * 24)]
    assert sum(counts.values()) == pytest.approx(sum(expected), abs=4.5 * math.sqrt(sum(expected)))
    for hour, mean in enumerate(expected):
        # A story that begins in one hour takes the place of ordinary payments in it, so the counts stay Poisson.
        assert abs(counts[hour] - mean) < 5 * math.sqrt(mean), hour


@pytest.mark.parametrize("expected", [0.5, 40, 5000, 123_456.0])
def test_a_count_is_expected_between_its_start_and_its_end(expected: float) -> None:
    intensity = Intensity(load_profile("br"), 0.2)
    end_ms = MONDAY_MS + 37 * 60_000 + 123
    start_ms = intensity.start_of(expected, end_ms)
    steps = [start_ms, *range(start_ms - start_ms % HOUR_MS + HOUR_MS, end_ms, HOUR_MS), end_ms]
    total = sum(intensity.at(a) * (b - a) / 1000 for a, b in pairwise(steps))
    assert total == pytest.approx(expected, abs=0.001)
    assert intensity.start_of(1e12, end_ms) < 0


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


@pytest.mark.parametrize(("name", "count", "days"), [(name, 200_000, 150) for name in profile_names()])
def test_each_kind_of_fraud_and_look_alike_comes_at_the_rate_of_its_profile(name: str, count: int, days: int) -> None:
    # 300 customers, so that the longest stories (four weeks) run to their ends.
    run = Run(Recipe(profile=name, seed=5, customers=300))
    seen, span_days = counts_by_kind(run, count)
    assert span_days > days
    for kind, share in run.mix.shares.items():
        assert_share(seen[kind], kind, share, count)
    assert set(seen) == {"ordinary", *run.mix.shares}


def test_all_nine_kinds_and_the_look_alikes_come_at_the_rate_that_is_asked_for() -> None:
    assert len([kind for kind in KINDS.values() if kind.is_fraud]) == 9
    count, asked = 200_000, dict.fromkeys(KINDS, 0.03)
    seen, _ = counts_by_kind(Run(Recipe(seed=6, customers=300, mix=asked)), count)
    for kind, share in asked.items():
        assert_share(seen[kind], kind, share, count)
    assert seen["ordinary"] == count - sum(seen[kind] for kind in KINDS)


def test_a_kind_alone_leaves_the_others_out() -> None:
    asked = dict.fromkeys(KINDS, 0.0) | {"velocity_burst": 0.03, "salary_day": 0.01}
    seen, _ = counts_by_kind(Run(Recipe(seed=5, mix=asked)), 20_000)
    assert set(seen) == {"ordinary", "velocity_burst", "salary_day"}


def counts_by_kind(run: Run, count: int) -> tuple[Counter[str], float]:
    """How many records of each kind there are, and how many days they span."""
    seen: Counter[str] = Counter()
    for record in run.batch(count, MONDAY_MS, None, 0):
        seen[record.kind] += 1
    return seen, (record.event_time - MONDAY_MS) / DAY_MS


def assert_share(seen: int, kind: str, share: float, count: int) -> None:
    """Stories of n payments each: the standard deviation of their sum is about sqrt(n * share * count)."""
    sigma = math.sqrt(KINDS[kind].mean_size * share * count)
    assert abs(seen - share * count) < 4.5 * sigma, f"{kind}: {seen} of {count} are {seen / count:.4f}, not {share}"


@pytest.mark.parametrize("name", profile_names())
def test_the_amounts_of_every_category_have_its_distribution(name: str) -> None:
    """Kolmogorov and Smirnov's distance from the log-normal cut at the category's limits, for a middling customer."""
    profile = load_profile(name)
    population = Population(profile, 3)
    maker = PaymentMaker(population, Random(3))
    middling = population.customer(1)._replace(level=1.0, spread=1.0)
    count, half_a_coin = 3000, 0.5 * 10.0**-profile.decimals
    for category, kind in profile.categories.items():
        merchant = next(merchant for merchant in population.merchants if merchant.category == category)
        bell = NormalDist(math.log(kind.median), kind.spread)
        low, high = bell.cdf(math.log(kind.min)), bell.cdf(math.log(kind.max))
        amounts = sorted(maker.amount(middling, merchant) for _ in range(count))
        distance = max(
            abs((bell.cdf(math.log(amount + half_a_coin)) - low) / (high - low) - bisect_right(amounts, amount) / count)
            for amount in amounts
        )
        # Beyond 2.2 / sqrt(count) in one of ten thousand honest samples.
        assert distance < 2.2 / math.sqrt(count), f"{category}: {distance:.4f}"


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
