"""What each command sends: from options to an iterator of records. No broker, no terminal; the clock is passed in."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from random import Random

from streamguard.models.fields import MAX_TIME_MS, MIN_TIME_MS
from streamguard.producer.arrivals import Intensity, PoissonSlots, Slots, SteadySlots
from streamguard.producer.chargebacks import with_chargebacks
from streamguard.producer.defects import check_rates, with_defects
from streamguard.producer.errors import InputError
from streamguard.producer.pace import Pacer, until
from streamguard.producer.payments import PaymentMaker
from streamguard.producer.population import Population, mix
from streamguard.producer.profile import DEFAULT_PROFILE, Profile, load_profile
from streamguard.producer.record import Record, encode, utc
from streamguard.producer.scenarios import MINUTE_MS, Stage
from streamguard.producer.simulator import SEEDED_START_MS, Mix, Simulator, known_kind, run_id

CUSTOMERS_PER_TPS = 2000
"""So many customers per record a second make it rare that an honest account pays four times in one minute."""

MOST_CUSTOMERS = 1_000_000_000_000

_SECONDS_PER_DAY = 86_400


@dataclass(frozen=True)
class Recipe:
    """The options that all generating commands share. `seed` None draws one."""

    profile: str = DEFAULT_PROFILE
    seed: int | None = None
    customers: int | None = None
    mix: Mapping[str, float] = field(default_factory=dict)
    fraud_share: float | None = None
    bad: Mapping[str, float] = field(default_factory=dict)
    begin_with: tuple[str, ...] = ()
    chargebacks: bool = False


class Run:
    """A recipe with its seed drawn, its profile read and its options checked; raises InputError."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.seed = secrets.randbits(40) if recipe.seed is None else recipe.seed
        self.profile: Profile = load_profile(recipe.profile)
        self.mix = Mix.of(self.profile, recipe.mix, recipe.fraud_share)
        check_rates(recipe.bad)
        for name in recipe.begin_with:
            known_kind(name)
        if recipe.customers is not None and recipe.customers < 1:
            raise InputError(f"--customers is {recipe.customers}: at least 1 is needed")
        if recipe.customers is not None and recipe.customers > MOST_CUSTOMERS:
            raise InputError(f"--customers is {recipe.customers}: at most {MOST_CUSTOMERS:,} can be had")

    def batch(self, count: int | None, start_ms: int | None, end_ms: int | None, now_ms: int) -> Iterator[Record]:
        """`count` records, or all until `end_ms`, at the pace of the profile's customers in event time.

        A batch with a seed starts at a fixed instant if no start is given; one without ends about now, so that it is
        the recent past to everybody who looks.
        """
        customers = self.recipe.customers or self.profile.customers
        rate = customers * self.profile.transactions_per_customer_per_day / _SECONDS_PER_DAY
        if start_ms is None:
            start_ms = SEEDED_START_MS
            if self.recipe.seed is None:
                start_ms = self._start_to_end_at(now_ms if end_ms is None else end_ms, rate, count)
        if end_ms is not None and end_ms >= MAX_TIME_MS:
            raise InputError(f"the end lies beyond {utc(MAX_TIME_MS - 1)}, the last instant that a payment may have")
        if end_ms is not None and end_ms <= start_ms:
            raise InputError(f"the end, {utc(end_ms)}, does not lie after the start, {utc(start_ms)}")
        slots = PoissonSlots(self.profile, rate, start_ms, Random(mix(self.seed, 2)))
        population = Population(self.profile, self.seed, customers)
        records = self._records(slots if end_ms is None else until(slots, end_ms), population, start_ms, count)
        return self._chargebacks(records)

    def span(self, start_ms: int | None, end_ms: int | None, duration_s: float, now_ms: int) -> tuple[int, int]:
        """Start and end of so many seconds: from the start, up to the end, or as `batch` begins without either."""
        length_ms = round(duration_s * 1000)
        if length_ms >= MAX_TIME_MS:
            raise InputError(f"--duration is {duration_s:g}: at most {MAX_TIME_MS // 1000:,} seconds fit")
        if start_ms is not None and end_ms is not None:
            raise InputError("--start, --end and --duration together say one thing too many: leave one out")
        if start_ms is None and end_ms is None:
            start_ms = SEEDED_START_MS if self.recipe.seed is not None else now_ms - length_ms
        if start_ms is None:
            assert end_ms is not None
            start_ms = end_ms - length_ms
        if not MIN_TIME_MS <= start_ms <= start_ms + length_ms < MAX_TIME_MS:
            raise InputError(
                f"--duration is {duration_s:g}: from {utc(start_ms)} to {utc(start_ms + length_ms)} leaves the time "
                f"between {utc(MIN_TIME_MS)} and {utc(MAX_TIME_MS - 1)}"
            )
        return start_ms, start_ms + length_ms

    def stream(
        self,
        tps: float,
        pacer: Pacer,
        start: Callable[[], int],
        duration_s: float | None = None,
        time_scale: float = 1.0,
        pattern: bool = False,
    ) -> Iterator[Record]:
        """`tps` records in a second of the pacer's clock, for `duration_s` of them or without end.

        Event time begins with what `start` says as the first record is due, epoch milliseconds, and runs `time_scale` times
        as fast. With `pattern` the rate follows the profile's hours and days, and `tps` is its mean; without, it is steady.
        """
        customers = self.recipe.customers or max(self.profile.customers, round(CUSTOMERS_PER_TPS * tps))
        # Its merchants take a while: made after a look at the clock they would make every record that much older than it is.
        population = Population(self.profile, self.seed, customers)
        start_ms = start()
        slots: Slots
        if pattern:
            slots = PoissonSlots(self.profile, tps / time_scale, start_ms, Random(mix(self.seed, 2)))
        else:
            slots = SteadySlots(tps / time_scale, start_ms)
        count = None if duration_s is None or pattern else round(tps * duration_s)
        paced = pacer.pace(slots)
        if duration_s is not None and pattern:
            paced = until(paced, start_ms + duration_s * 1000 * time_scale)
        yield from self._chargebacks(self._records(paced, population, start_ms, count))

    def velocity(self, account: str, count: int, now_ms: int) -> Iterator[Record]:
        """`count` payments of one account in the tumbling minute that `now_ms` lies in, none of them in the future."""
        stage = Stage(PaymentMaker(Population(self.profile, self.seed, 1), Random(mix(self.seed, 1))))
        victim = stage.population.customer(0)._replace(account_id=account)
        first_ms = max(now_ms // MINUTE_MS * MINUTE_MS, now_ms - 1000 * (count - 1))
        prefix = run_id("velocity", self.seed, account, now_ms)
        for number in range(count):
            merchant = stage.merchant(victim, online=True)
            fields = stage.maker.payment(victim, merchant, stage.normal_amount(victim, merchant))
            fields["transaction_id"] = f"tx-{prefix}-{number + 1:09d}"
            fields["event_time"] = first_ms + (now_ms - first_ms) * number // max(1, count - 1)
            yield encode(fields, label="velocity_burst")

    def _records(
        self, slots: Iterator[int], population: Population, start_ms: int, count: int | None
    ) -> Iterator[Record]:
        begin_with = self.recipe.begin_with
        name = run_id(
            self.seed, self.profile.name, population.size, start_ms, sorted(self.mix.shares.items()), begin_with
        )
        records = Simulator(population, self.mix, self.seed, name, begin_with).records(slots)
        if self.recipe.bad:
            records = with_defects(records, self.recipe.bad, Random(mix(self.seed, 3)))
        return records if count is None else islice(records, count)

    def _chargebacks(self, records: Iterator[Record]) -> Iterator[Record]:
        return with_chargebacks(records, Random(mix(self.seed, 4))) if self.recipe.chargebacks else records

    def _start_to_end_at(self, end_ms: int, rate: float, count: int | None) -> int:
        """So long before `end_ms` that `count` records have happened by then, but for a chance of one in 30,000.

        Raises InputError for a beginning before `MIN_TIME_MS`.
        """
        expected = 0.0 if count is None else count + 4 * count**0.5
        start_ms = Intensity(self.profile, rate).start_of(expected, end_ms)
        if start_ms < MIN_TIME_MS:
            raise InputError(
                f"--count is {count}: so many payments at {rate:,.2f} a second reach back beyond {utc(MIN_TIME_MS)}; ask for "
                "fewer, for more --customers, or name a --start"
            )
        return start_ms
