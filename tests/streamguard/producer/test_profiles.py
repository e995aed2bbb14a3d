"""Commissions, and what a profile has to say to be one."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from streamguard.models import reason_of
from streamguard.producer.payments import PaymentMaker
from streamguard.producer.population import Population
from streamguard.producer.profile import Commission, Profile, load_profile, profile_names
from streamguard.producer.scenarios import KINDS

STEPS = ((0.0, 0.03), (100.0, 0.02), (1000.0, 0.01))


@pytest.mark.parametrize(
    ("kind", "amount", "commission"),
    [
        ("flat", 200.0, 6.0),
        ("tiered", 99.99, 3.0),
        ("tiered", 100.0, 2.0),
        ("tiered", 5000.0, 50.0),
        ("progressive", 100.0, 3.0),
        ("progressive", 200.0, 5.0),
        ("progressive", 2000.0, 31.0),
    ],
)
def test_commissions(kind: str, amount: float, commission: float) -> None:
    assert Commission(kind=kind, steps=STEPS).of(amount) == commission  # type: ignore[arg-type]


@pytest.mark.parametrize("steps", [((100, 0.1), (200, 0.2)), ((0, 0.1), (50, 0.1), (20, 0.1)), ((0, -0.1),)])
def test_a_commission_whose_steps_do_not_rise_from_nothing_is_refused(steps: object) -> None:
    with pytest.raises(ValidationError, match=r"the first must be 0, each further one higher|greater than or equal"):
        Commission.model_validate({"kind": "tiered", "steps": steps})


@given(st.floats(0.01, 1e6), st.floats(0.01, 1e6))
def test_a_progressive_commission_never_falls_with_the_amount(a: float, b: float) -> None:
    progressive = Commission(kind="progressive", steps=STEPS)
    low, high = sorted((a, b))
    assert progressive.of(low) <= progressive.of(high)
    assert progressive.of(high) <= Commission(kind="flat", steps=STEPS).of(high) + 0.01


def test_the_payment_service_provider_notes_its_commission_and_the_others_do_not() -> None:
    for name in profile_names():
        maker = PaymentMaker(Population(load_profile(name), 1), Random(1))
        fields = maker.ordinary()
        assert ("commission" in fields) == (name == "psp")
        if name == "psp":
            assert 0 < fields["commission"] < fields["amount"]


@pytest.mark.parametrize("name", profile_names())
def test_every_shipped_profile_hangs_together(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert set(profile.fraud) <= {kind for kind, scenario in KINDS.items() if scenario.is_fraud}
    assert set(profile.lookalikes) <= {kind for kind, scenario in KINDS.items() if not scenario.is_fraud}
    assert 0 < sum(profile.fraud.values()) < 0.05
    for category in profile.categories.values():
        assert category.min < category.median < category.max
    population = Population(profile, 1)
    assert len(population.merchants) == profile.merchants
    assert len({merchant.merchant_id for merchant in population.merchants}) == profile.merchants


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"hours": [1] * 23}, "hours: at least 24 entries are expected"),
        ({"hours": [0] * 24}, "hours and weekdays need a factor above 0"),
        ({"categories": {}}, "categories: at least 1 entries are expected"),
        (
            {"payments": [{"type": "x", "channel": "y", "weight": 1, "where": "online"}]},
            "payments need a way to pay at the counter and one online",
        ),
        ({"cities": [{"name": "X", "country": "ZZ", "latitude": 0, "longitude": 0}]}, "country 'ZZ' is no ISO 3166"),
        (
            {"cities": [{"name": "X", "country": "BR", "latitude": 0, "longitude": 0, "weight": 0}]},
            "cities need a weight above 0",
        ),
        ({"currencies": {"BRL": 0}}, "currencies need a weight above 0"),
        ({"hours": [1] * 23 + [float("nan")]}, "hours.23: a finite number is expected, not NaN"),
        ({"weekdays": [1] * 6 + [-1]}, "weekdays.6: at least 0 is expected"),
        ({"holidays": {"13-45": 2}}, "holiday '13-45' is no month and day such as 12-25"),
        ({"pay_days": {"days": [40]}}, "pay_days.days.0: at most 31 is expected"),
        ({"categories": {"x": {"weight": 1, "median": 5, "spread": 1, "min": 9, "max": 10}}}, "median 5 does not lie"),
        ({"categories": {"x": {"weight": 0, "median": 5, "spread": 1, "max": 10}}}, "categories need a weight above 0"),
        (
            {"categories": {"x": {"weight": 1, "median": 5, "spread": 1, "max": 10, "online": True}}},
            "categories need one that is not online",
        ),
        ({"colour": "red"}, "colour: unknown"),
    ],
)
def test_what_is_no_profile_is_refused(change: dict[str, object], complaint: str) -> None:
    fields = load_profile("br").model_dump() | change
    with pytest.raises(ValidationError) as refusal:
        Profile.model_validate(fields)
    assert complaint in reason_of(refusal.value)
