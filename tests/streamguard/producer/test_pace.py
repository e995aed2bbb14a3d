"""Rates on a clock that the test turns: held, not caught up after an outage, scaled."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import pytest

from streamguard.producer import runs
from streamguard.producer.arrivals import SteadySlots
from streamguard.producer.pace import Pacer, until
from streamguard.producer.population import Population
from streamguard.producer.profile import Profile
from streamguard.producer.runs import Recipe, Run

START_MS = 1_790_000_000_000


class FakeClock:
    """Time passes by sleeping, and by `work_s` for each look at the clock."""

    def __init__(self, work_s: float = 0.0) -> None:
        self.now_s = 100.0
        self.work_s = work_s

    def __call__(self) -> float:
        self.now_s += self.work_s
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def pacer(self, speed: float = 1.0) -> Pacer:
        return Pacer(speed, self, self.sleep)


@pytest.mark.parametrize("tps", [0.5, 10, 1000, 20_000])
def test_a_steady_rate_is_held_within_five_percent(tps: float) -> None:
    clock = FakeClock(work_s=1e-5)
    started_s = clock.now_s
    count = sum(1 for _ in islice(clock.pacer().pace(SteadySlots(tps, START_MS)), int(tps * 20)))
    assert (count - 1) / (clock.now_s - started_s) == pytest.approx(tps, rel=0.05)


def test_event_time_runs_with_the_clock() -> None:
    clock = FakeClock()
    for slot_ms in islice(clock.pacer().pace(SteadySlots(100, START_MS)), 1000):
        assert slot_ms - START_MS == pytest.approx((clock.now_s - 100) * 1000, abs=3)


def test_after_an_outage_it_goes_on_from_now_and_does_not_storm() -> None:
    clock = FakeClock()
    pacer = clock.pacer()
    slots: Iterator[int] = pacer.pace(SteadySlots(100, START_MS))
    list(islice(slots, 100))
    clock.now_s += 60
    after_s = clock.now_s
    times = list(islice(slots, 500))
    assert clock.now_s - after_s == pytest.approx(5, abs=0.1)
    assert times[1] - START_MS == pytest.approx((after_s - 100) * 1000, abs=30)
    assert pacer.skipped_s == pytest.approx(60, abs=1.1)


def test_a_small_delay_is_caught_up() -> None:
    clock = FakeClock()
    pacer = clock.pacer()
    slots = pacer.pace(SteadySlots(100, START_MS))
    list(islice(slots, 100))
    clock.now_s += 0.5
    list(islice(slots, 100))
    assert clock.now_s - 100 == pytest.approx(2, abs=0.05)
    assert pacer.skipped_s == 0


def test_a_day_in_a_minute() -> None:
    clock = FakeClock()
    slots = SteadySlots(10 / 1440, START_MS)
    list(until(clock.pacer(1440).pace(slots), START_MS + 86_400_000))
    assert clock.now_s - 100 == pytest.approx(60, rel=0.01)


def test_a_stream_sends_as_many_as_asked_at_the_rate_asked_fraud_included() -> None:
    clock = FakeClock()
    records = list(Run(Recipe(seed=4, fraud_share=0.2)).stream(50, clock.pacer(), lambda: START_MS, duration_s=40))
    assert len(records) == 2000
    assert clock.now_s - 100 == pytest.approx(40, rel=0.05)
    assert [r.event_time for r in records] == sorted(r.event_time for r in records)
    assert sum(bool(record.label) for record in records) > 50


def test_a_patterned_stream_ends_with_its_duration() -> None:
    clock = FakeClock()
    run = Run(Recipe(seed=4))
    records = list(run.stream(20, clock.pacer(1440), lambda: START_MS, duration_s=30, time_scale=1440, pattern=True))
    assert clock.now_s - 100 == pytest.approx(30, rel=0.05)
    assert 200 < len(records) < 1800
    assert records[-1].event_time < START_MS + 30 * 1440 * 1000


def test_payments_of_a_live_stream_are_new_however_long_its_merchants_took(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()

    class Slow(Population):
        def __init__(self, profile: Profile, seed: int, customers: int | None = None) -> None:
            clock.now_s += 5
            super().__init__(profile, seed, customers)

    monkeypatch.setattr(runs, "Population", Slow)
    stream = Run(Recipe(seed=4)).stream(100, clock.pacer(), lambda: START_MS + round(clock.now_s * 1000), duration_s=2)
    ages = [START_MS + clock.now_s * 1000 - record.event_time for record in stream]
    assert max(ages) < 50
