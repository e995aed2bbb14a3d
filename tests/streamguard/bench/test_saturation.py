"""The search for the highest rate that is held finds the capacity, wherever it begins."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamguard.bench.runs import spread
from streamguard.bench.saturation import PROBE_S, highest_held


@given(capacity=st.floats(20, 1e6), first=st.floats(1, 1e6))
def test_the_capacity_is_found(capacity: float, first: float) -> None:
    asked: list[tuple[float, int]] = []

    def holds(tps: float, seconds: int) -> bool:
        asked.append((tps, seconds))
        return tps <= capacity

    found = highest_held(holds, first, 60)
    assert capacity * 0.95 <= found <= capacity
    assert asked[-1] == (found, 60)
    assert len(asked) < 60


@given(capacity=st.floats(20, 1e5), tired=st.floats(0.5, 1))
def test_what_holds_for_long_counts(capacity: float, tired: float) -> None:
    """A rate that is held for a probe and not for a minute gives way to a lower one."""
    found = highest_held(lambda tps, seconds: tps <= capacity * (1 if seconds == PROBE_S else tired), 100, 60)
    assert found <= capacity * tired
    assert found == 0 or found >= capacity * tired * 0.9


def test_nothing_is_held() -> None:
    assert highest_held(lambda tps, seconds: False, 1_000, 60) == 0


def test_spread() -> None:
    assert spread([3.0, 1.0, 8.0]) == {"median": 3.0, "min": 1.0, "max": 8.0}
