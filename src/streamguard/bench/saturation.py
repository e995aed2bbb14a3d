"""The highest rate that is held: a search over trials, without I/O."""

from __future__ import annotations

from collections.abc import Callable

PROBE_S = 15
"""Seconds of a trial that narrows the rate down; the last ones take as long as the rate has to be held."""
STEP = 1.5
CLOSE = 1.04
"""The search ends once a rate that is held and one that is not are so near to each other."""
GIVE_WAY = 0.95
LEAST_TPS = 10.0


def highest_held(holds: Callable[[float, int], bool], first_tps: float, seconds: int) -> float:
    """The highest rate, within some percent, for which `holds(tps, seconds)`; 0 where none from LEAST_TPS on is."""
    low, high = _bracket(lambda tps: holds(tps, PROBE_S), first_tps)
    while low and high / low > CLOSE:
        middle = (low * high) ** 0.5
        if holds(middle, PROBE_S):
            low = middle
        else:
            high = middle
    while low >= LEAST_TPS:
        if holds(low, seconds):
            return low
        low *= GIVE_WAY
    return 0.0


def _bracket(holds: Callable[[float], bool], tps: float) -> tuple[float, float]:
    """A rate that is held and one that is not, one step apart."""
    if holds(tps):
        while holds(tps * STEP):
            tps *= STEP
        return tps, tps * STEP
    while tps >= LEAST_TPS:
        if holds(tps / STEP):
            return tps / STEP, tps
        tps /= STEP
    return 0.0, tps
