"""Clusters of customers by their scores: Lloyd's iteration, exact and the same on every run.

The points are combinations of three scores of 1 to 5, with the number of accounts as weight: 125 at most. Centres are
fractions, so that no rounding decides. The first centre is the heaviest point, each further one the point furthest from those
before: nothing is drawn by lot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

Point = tuple[int, ...]
_Centre = tuple[Fraction, ...]

CLUSTERS = 4
_WORDS = (
    ("paid lately", "paid a while ago", "not seen for long"),
    ("often", "now and then", "seldom"),
    ("high spend", "middle spend", "low spend"),
)
_HIGH, _LOW = Fraction(7, 2), Fraction(5, 2)


def cluster(weights: Mapping[Point, int], count: int = CLUSTERS) -> dict[Point, str]:
    """The name of the cluster of each point; fewer clusters where there are fewer points."""
    points = sorted(weights)
    centres = _first_centres(points, weights, min(count, len(points)))
    while True:
        members = _assign(points, centres)
        moved = [_centre(group, weights) or centre for group, centre in zip(members, centres, strict=True)]
        if moved == centres:
            break
        centres = moved
    names = _names(centres)
    return {point: name for group, name in zip(members, names, strict=True) for point in group}


def _first_centres(points: Sequence[Point], weights: Mapping[Point, int], count: int) -> list[_Centre]:
    centres: list[_Centre] = []
    if count:
        centres.append(_exact(max(points, key=lambda point: (weights[point], point))))
    while len(centres) < count:
        centres.append(_exact(max(points, key=lambda point: (min(_distance(point, c) for c in centres), point))))
    return centres


def _assign(points: Sequence[Point], centres: Sequence[_Centre]) -> list[list[Point]]:
    """The points of each centre: of equally near ones the first has it."""
    members: list[list[Point]] = [[] for _ in centres]
    for point in points:
        members[min(range(len(centres)), key=lambda place: _distance(point, centres[place]))].append(point)
    return members


def _centre(group: Sequence[Point], weights: Mapping[Point, int]) -> _Centre | None:
    weight = sum(weights[point] for point in group)
    if not weight:
        return None
    return tuple(Fraction(sum(p[axis] * weights[p] for p in group), weight) for axis in range(len(group[0])))


def _distance(point: Sequence[int], centre: _Centre) -> Fraction:
    return sum(((value - middle) ** 2 for value, middle in zip(point, centre, strict=True)), Fraction(0))


def _exact(point: Point) -> _Centre:
    return tuple(map(Fraction, point))


def _names(centres: Sequence[_Centre]) -> list[str]:
    """What a person says of a centre; a number behind it where two would have one name."""
    names: list[str] = []
    for centre in centres:
        words = [
            high if value >= _HIGH else low if value <= _LOW else middle
            for value, (high, middle, low) in zip(centre, _WORDS, strict=True)
        ]
        name = ", ".join(words)
        same = sum(other.split(" (")[0] == name for other in names)
        names.append(f"{name} ({same + 1})" if same else name)
    return names
