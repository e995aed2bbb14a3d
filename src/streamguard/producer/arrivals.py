"""When payments happen: a Poisson process whose rate follows the hour, the weekday, pay days and holidays.

Thinning (Lewis and Shedler, 1979): draw candidates at the highest rate of the day, keep each with the probability that
the rate of its instant has to that maximum. The day's factors are brought to a mean of 1 over an ordinary week, so
that `rate_per_s` is the average.
"""

from __future__ import annotations

import calendar
import math
import time
from random import Random
from typing import Protocol

from streamguard.producer.profile import Profile

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class Slots(Protocol):
    """A clockwork of event times: each call of `next` is the instant of the next payment, epoch milliseconds."""

    def __next__(self) -> int: ...

    def __iter__(self) -> Slots: ...

    def skip(self, ms: float) -> None:
        """Leave out that much time: what a generator does that was held up and is not to catch up."""


class Intensity:
    """The expected payments per second at an instant, for one profile."""

    def __init__(self, profile: Profile, rate_per_s: float) -> None:
        self._profile = profile
        self._offset_ms = round(profile.utc_offset_hours * HOUR_MS)
        self._base = rate_per_s / ((sum(profile.hours) / 24) * (sum(profile.weekdays) / 7))

    def at(self, time_ms: float) -> float:
        """Payments per second at that instant (epoch milliseconds)."""
        local = time_ms + self._offset_ms
        return self._day(int(local // DAY_MS)) * self._profile.hours[int(local % DAY_MS // HOUR_MS)]

    def day(self, time_ms: float) -> tuple[float, float]:
        """(the rate of an hour of factor 1 on the local day of that instant, the end of that day in epoch ms)."""
        number = int((time_ms + self._offset_ms) // DAY_MS)
        return self._day(number), (number + 1) * DAY_MS - self._offset_ms

    def start_of(self, expected: float, end_ms: int) -> int:
        """The instant from which on that many payments are expected until `end_ms`; below 0 where that is before 1970."""
        start_ms = end_ms
        while expected > 0 and start_ms >= 0:
            into_hour_ms = (start_ms - 1 + self._offset_ms) % HOUR_MS + 1
            rate_per_ms = self.at(start_ms - into_hour_ms) / 1000
            whole_hour = rate_per_ms * into_hour_ms <= expected
            step_ms = into_hour_ms if whole_hour else math.ceil(expected / rate_per_ms)
            start_ms -= step_ms
            expected -= rate_per_ms * step_ms
        return start_ms

    def _day(self, number: int) -> float:
        """The rate of an hour of factor 1 on that day since 1970."""
        date = time.gmtime(number * 86_400)
        factor = self._profile.weekdays[date.tm_wday] * self._profile.holidays.get(
            f"{date.tm_mon:02d}-{date.tm_mday:02d}", 1
        )
        last = calendar.monthrange(date.tm_year, date.tm_mon)[1]
        if any(min(day, last) == date.tm_mday for day in self._profile.pay_days.days):
            factor *= self._profile.pay_days.factor
        return self._base * factor


class PoissonSlots:
    """Arrivals of the profile's pattern from `start_ms` on, without end."""

    def __init__(self, profile: Profile, rate_per_s: float, start_ms: int, rng: Random) -> None:
        self._intensity = Intensity(profile, rate_per_s)
        self._hours = [hour / max(profile.hours) for hour in profile.hours]
        self._highest = max(profile.hours)
        self._offset_ms = round(profile.utc_offset_hours * HOUR_MS)
        self._rng = rng
        self._now_ms = float(start_ms)
        self._enter_day()

    def _enter_day(self) -> None:
        rate, self._day_end_ms = self._intensity.day(self._now_ms)
        self._rate_per_ms = rate * self._highest / 1000

    def __iter__(self) -> PoissonSlots:
        return self

    def __next__(self) -> int:
        rng = self._rng
        while True:
            # A day without payments has no rate to draw from.
            step = rng.expovariate(self._rate_per_ms) if self._rate_per_ms > 0 else float("inf")
            if self._now_ms + step >= self._day_end_ms:
                # The process has no memory: what is drawn afresh at midnight is as good as what was drawn before.
                self._now_ms = float(self._day_end_ms)
                self._enter_day()
                continue
            self._now_ms += step
            hour = int((self._now_ms + self._offset_ms) % DAY_MS // HOUR_MS)
            if rng.random() < self._hours[hour]:
                return int(self._now_ms)

    def skip(self, ms: float) -> None:
        """See `Slots`."""
        self._now_ms += ms
        self._enter_day()


class SteadySlots:
    """`rate_per_s` payments in every second from `start_ms` on, evenly spaced, without end."""

    def __init__(self, rate_per_s: float, start_ms: int) -> None:
        self._step_ms = 1000 / rate_per_s
        self._start_ms = float(start_ms)
        self._count = 0

    def __iter__(self) -> SteadySlots:
        return self

    def __next__(self) -> int:
        now_ms = int(self._start_ms + self._count * self._step_ms)
        self._count += 1
        return now_ms

    def skip(self, ms: float) -> None:
        """See `Slots`."""
        self._start_ms += ms
