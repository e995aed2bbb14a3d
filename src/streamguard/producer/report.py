"""One HTML page about a simulated span: volume by hour, amounts, places, fraud by kind. No script, no network."""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import orjson

from streamguard.producer.arrivals import DAY_MS, HOUR_MS, Intensity
from streamguard.producer.errors import InputError
from streamguard.producer.record import Record
from streamguard.producer.runs import Run
from streamguard.producer.signals import Stop
from streamguard.producer.simulator import SEEDED_START_MS

WIDTH, HEIGHT = 860, 240
_MAX_HOURS = 24 * 400

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --paper: #fff; --bar: #4a7fb5; --line: #d9822b; --bad: #c23030; }
@media (prefers-color-scheme: dark) { :root { --ink: #dfe5ea; --paper: #14191f; --bar: #6c9dcc; --bad: #ee6666; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 900px; padding: 0 1rem;
       color: var(--ink); background: var(--paper); }
svg { width: 100%; height: auto; } .bar { fill: var(--bar); } .bad { fill: var(--bad); }
.line { fill: none; stroke: var(--line); stroke-width: 1.5; } text { fill: var(--ink); font-size: 11px; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem; text-align: right; }
td:first-child { text-align: left; }
"""


class Figures:
    """What the page shows, counted record by record in memory that does not grow with their number."""

    def __init__(self, start_ms: int) -> None:
        self.start_ms = start_ms
        self.count = 0
        self.hours: Counter[int] = Counter()
        self.amounts: Counter[int] = Counter()
        self.kinds: Counter[str] = Counter()
        self.money: Counter[str] = Counter()
        self.places: dict[tuple[str, str], tuple[float, float, int, int]] = {}

    def add(self, record: Record) -> None:
        """Count one transaction."""
        fields = orjson.loads(record.value or b"{}")
        self.count += 1
        self.hours[(record.event_time - self.start_ms) // HOUR_MS] += 1
        self.amounts[math.floor(4 * math.log10(fields["amount"]))] += 1
        self.kinds[record.kind] += 1
        self.money[record.kind] += fields["amount"]
        place = (fields["city"], fields["country"])
        latitude, longitude, count, fraud = self.places.get(place, (fields["latitude"], fields["longitude"], 0, 0))
        self.places[place] = (latitude, longitude, count + 1, fraud + bool(record.label))


def write_report(
    path: Path, run: Run, days: float, start_ms: int | None, stop: Stop, advance: Callable[[int], None]
) -> int:
    """Simulate `days` of event time and write the page; returns the number of transactions. Raises InputError."""
    if days * 24 > _MAX_HOURS:
        raise InputError(f"--days is {days:g}: at most {_MAX_HOURS // 24} fit on a page")
    start_ms = SEEDED_START_MS if start_ms is None else start_ms
    figures = Figures(start_ms)
    for record in run.batch(None, start_ms, start_ms + round(days * DAY_MS), start_ms):
        if stop.requested:
            break
        figures.add(record)
        advance(1)
    customers = run.recipe.customers or run.profile.customers
    intensity = Intensity(run.profile, customers * run.profile.transactions_per_customer_per_day / 86_400)
    expected = [3600 * intensity.at(start_ms + (hour + 0.5) * HOUR_MS) for hour in range(math.ceil(days * 24))]
    try:
        path.write_text(render(figures, expected, f"{run.profile.title}, seed {run.seed}"), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None
    return figures.count


def render(figures: Figures, expected_per_hour: list[float], title: str) -> str:
    """The page. `expected_per_hour` is the intensity that the volume is held against."""
    sections = [
        ("Volume by hour, and what the profile expects", _volume(figures.hours, expected_per_hour)),
        ("Amounts (logarithmic, four bars to a power of ten)", _amounts(figures.amounts)),
        ("Places (area: transactions; red: share of fraud)", _map(figures.places)),
        ("By kind", _kinds(figures)),
    ]
    body = "".join(f"<h2>{html.escape(heading)}</h2>{content}" for heading, content in sections)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>{html.escape(title)}</h1><p>{figures.count:,} transactions</p>{body}</html>\n"
    )


def _svg(parts: Iterable[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 20}" role="img">{"".join(parts)}</svg>'


def _bars(heights: list[float], top: float) -> list[str]:
    step = WIDTH / max(1, len(heights))
    return [
        f'<rect class="bar" x="{n * step:.2f}" y="{HEIGHT - HEIGHT * value / top:.2f}" '
        f'width="{max(0.5, step * 0.9):.2f}" height="{HEIGHT * value / top:.2f}"/>'
        for n, value in enumerate(heights)
    ]


def _volume(hours: Counter[int], expected: list[float]) -> str:
    heights = [float(hours[hour]) for hour in range(len(expected))]
    top = max([*heights, *expected, 1.0])
    step = WIDTH / max(1, len(expected))
    points = " ".join(f"{(n + 0.5) * step:.2f},{HEIGHT - HEIGHT * value / top:.2f}" for n, value in enumerate(expected))
    return _svg([*_bars(heights, top), f'<polyline class="line" points="{points}"/>', _label(0, f"top: {top:,.0f}/h")])


def _amounts(amounts: Counter[int]) -> str:
    if not amounts:
        return "<p>none</p>"
    low, high = min(amounts), max(amounts)
    heights = [float(amounts[step]) for step in range(low, high + 1)]
    labels = [
        _label((4 * power - low) * WIDTH / len(heights), f"{10**power:,}" if power >= 0 else f"{10**power:g}")
        for power in range(math.ceil(low / 4), math.floor(high / 4) + 1)
    ]
    return _svg([*_bars(heights, max(heights)), *labels])


def _map(places: dict[tuple[str, str], tuple[float, float, int, int]]) -> str:
    if not places:
        return "<p>none</p>"
    latitudes = [place[0] for place in places.values()]
    longitudes = [place[1] for place in places.values()]
    south, west = min(latitudes) - 3, min(longitudes) - 3
    scale = min(WIDTH / (max(longitudes) + 3 - west), HEIGHT / (max(latitudes) + 3 - south))
    most = max(count for _, _, count, _ in places.values())
    parts = []
    for (city, country), (latitude, longitude, count, fraud) in sorted(places.items(), key=lambda item: -item[1][2]):
        x, y, radius = (longitude - west) * scale, HEIGHT - (latitude - south) * scale, 2 + 18 * math.sqrt(count / most)
        name = html.escape(f"{city}, {country}: {count:,} transactions, {fraud:,} fraudulent")
        at = f'cx="{x:.1f}" cy="{y:.1f}"'
        parts.append(f'<circle class="bar" opacity=".7" {at} r="{radius:.1f}"><title>{name}</title></circle>')
        parts.append(f'<circle class="bad" {at} r="{radius * math.sqrt(fraud / count):.1f}"/>')
    return _svg(parts)


def _kinds(figures: Figures) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(kind)}</td><td>{count:,}</td><td>{100 * count / figures.count:.2f} %</td>"
        f"<td>{figures.money[kind]:,.2f}</td></tr>"
        for kind, count in figures.kinds.most_common()
    )
    return f"<table><tr><th>kind</th><th>transactions</th><th>share</th><th>money</th></tr>{rows}</table>"


def _label(x: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{HEIGHT + 14}">{html.escape(text)}</text>'
