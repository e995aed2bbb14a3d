"""Bursts by hand: inside a window, across its border, too slow, and shared payments."""

from __future__ import annotations

import pytest

from streamguard.cli.demo import bursts


@pytest.mark.parametrize(
    ("times", "counts"),
    [
        ((0, 10, 20), (1, 0)),
        ((50, 55, 65), (1, 1)),
        ((0, 30, 60), (0, 0)),
        ((0, 30, 59), (1, 0)),
        ((0, 1, 2, 3, 4), (1, 0)),
        ((0, 1, 2, 58, 59, 61), (2, 1)),
    ],
)
def test_bursts(times: tuple[int, ...], counts: tuple[int, int]) -> None:
    assert bursts([("A", at) for at in times] + [("B", times[0])], 3, 60) == counts
