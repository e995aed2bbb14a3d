"""Each kind of fraud gives itself away as its table says, and the look-alikes do not."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from random import Random

import orjson
import pytest

from streamguard.models import Transaction
from streamguard.producer.payments import Payment, PaymentMaker
from streamguard.producer.population import Population
from streamguard.producer.profile import load_profile
from streamguard.producer.record import encode
from streamguard.producer.runs import Recipe, Run
from streamguard.producer.scenarios import KINDS, MINUTE_MS, Stage, scenario

START_MS = 1_767_614_412_345
ROUNDS = 60


@pytest.fixture(scope="module", params=["br", "ke-mpesa"])
def stage(request: pytest.FixtureRequest) -> Stage:
    return Stage(PaymentMaker(Population(load_profile(request.param), 5), Random(5)))


def played(stage: Stage, kind: str) -> list[list[Payment]]:
    """That scenario, many times, each sorted by time."""
    return [sorted(KINDS[kind].plan(stage, START_MS), key=lambda payment: payment.event_time) for _ in range(ROUNDS)]


def in_one_minute(payments: list[Payment]) -> int:
    """The most payments of one account in one tumbling minute."""
    counts = Counter((p.fields["account_id"], p.event_time // MINUTE_MS) for p in payments)
    return max(counts.values())


def amounts(payments: list[Payment]) -> list[float]:
    return [payment.fields["amount"] for payment in payments]


def test_who_is_on_a_trip_does_not_pay_at_home() -> None:
    run = Run(Recipe(seed=2, customers=40, mix={**dict.fromkeys(KINDS, 0.0), "family_trip": 0.05}))
    trips: dict[bytes, list[tuple[int, str]]] = {}
    ordinary: list[tuple[bytes, int]] = []
    for record in run.batch(6000, None, None, START_MS):
        if record.lookalike:
            city = orjson.loads(record.value or b"")["city"]
            trips.setdefault(record.key, []).append((record.event_time, city))
        else:
            ordinary.append((record.key, record.event_time))
    assert len(trips) > 20
    for account, payments in trips.items():
        for (first_ms, city), (last_ms, next_city) in pairwise(payments):
            if city == next_city and last_ms - first_ms < 10 * 3_600_000:
                assert not [at for key, at in ordinary if key == account and first_ms <= at <= last_ms]


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_is_labelled_valid_and_not_in_the_past(stage: Stage, kind: str) -> None:
    sizes = []
    for payments in played(stage, kind):
        sizes.append(len(payments))
        assert payments[0].event_time >= START_MS
        for payment in payments:
            assert (payment.label, payment.lookalike) == ((kind, "") if KINDS[kind].is_fraud else ("", kind))
            record = encode({**payment.fields, "transaction_id": "t", "event_time": payment.event_time})
            Transaction.from_record(record.value, record.key)
    assert sum(sizes) / ROUNDS == pytest.approx(KINDS[kind].mean_size, rel=0.15)


@pytest.mark.parametrize("kind", [name for name in KINDS if name != "high_amount"])
def test_only_high_amount_and_a_takeover_pass_the_limit(stage: Stage, kind: str) -> None:
    if kind == "account_takeover":
        return
    assert all(max(amounts(payments)) <= stage.profile.high_amount for payments in played(stage, kind))


def test_high_amount_passes_the_limit(stage: Stage) -> None:
    assert all(min(amounts(payments)) > stage.profile.high_amount for payments in played(stage, "high_amount"))


def test_a_velocity_burst_fits_one_minute(stage: Stage) -> None:
    assert all(in_one_minute(payments) == len(payments) > 3 for payments in played(stage, "velocity_burst"))


def test_a_border_burst_is_as_fast_but_never_more_than_3_in_a_minute(stage: Stage) -> None:
    for payments in played(stage, "border_burst"):
        assert in_one_minute(payments) <= 3
        assert payments[-1].event_time - payments[0].event_time < 40_000
        assert len(payments) >= 4


def test_card_testing_is_small_and_fast_and_of_one_strange_device(stage: Stage) -> None:
    for payments in played(stage, "card_testing"):
        assert max(amounts(payments)) < stage.profile.small_amount
        assert payments[-1].event_time - payments[0].event_time < 4 * MINUTE_MS
        assert len({payment.fields["device_id"] for payment in payments}) == 1


def test_a_takeover_rises_on_a_strange_device_abroad(stage: Stage) -> None:
    abroad = {city.name for city in stage.profile.abroad}
    for payments in played(stage, "account_takeover"):
        assert amounts(payments) == sorted(amounts(payments))
        assert {payment.fields["city"] for payment in payments} <= abroad
        assert all(payment.fields["device_id"].startswith("dev-x") for payment in payments)


def test_impossible_travel_outruns_any_plane(stage: Stage) -> None:
    for home, away in played(stage, "impossible_travel"):
        hours = (away.event_time - home.event_time) / 3_600_000
        assert kilometres(home, away) / hours > 500
        assert home.fields["account_id"] == away.fields["account_id"]


def test_a_family_trip_does_not_outrun_a_plane(stage: Stage) -> None:
    for payments in played(stage, "family_trip"):
        assert payments[0].event_time >= START_MS + 12 * 3_600_000
        assert len({payment.fields["city"] for payment in payments}) == 1


def test_a_compromised_terminal_is_one_merchant_and_many_customers_over_weeks(stage: Stage) -> None:
    for payments in played(stage, "compromised_terminal"):
        assert len({payment.fields["merchant_id"] for payment in payments}) == 1
        assert len({payment.fields["account_id"] for payment in payments}) > len(payments) / 2
        assert payments[-1].event_time - START_MS <= 28 * 86_400_000


def test_a_mule_passes_on_nearly_all_it_was_sent(stage: Stage) -> None:
    for payments in played(stage, "mule_account"):
        *incoming, out = payments
        assert out.fields["transaction_type"] == "transfer_out"
        assert {payment.fields["transaction_type"] for payment in incoming} == {"transfer_in"}
        assert out.fields["amount"] == pytest.approx(0.97 * sum(amounts(incoming)), abs=1)


def test_a_drip_is_slow_and_even(stage: Stage) -> None:
    for payments in played(stage, "slow_drip"):
        assert max(amounts(payments)) < stage.profile.high_amount / 15
        assert all(b.event_time - a.event_time >= 3 * 3_600_000 for a, b in pairwise(payments))


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if not kind.is_fraud])
def test_look_alikes_raise_no_alert_of_the_core_rules(stage: Stage, kind: str) -> None:
    for payments in played(stage, kind):
        assert in_one_minute(payments) == 1
        assert max(amounts(payments)) <= stage.profile.high_amount


def test_a_kind_cannot_be_registered_twice() -> None:
    with pytest.raises(ValueError, match="high_amount is registered twice"):
        scenario(1)(KINDS["high_amount"].play)


def kilometres(a: Payment, b: Payment) -> float:
    """Great-circle distance (haversine) of two payments."""
    lat1, lon1, lat2, lon2 = (math.radians(p.fields[name]) for p in (a, b) for name in ("latitude", "longitude"))
    h = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * 6371 * math.asin(math.sqrt(h))
