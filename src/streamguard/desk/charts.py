"""Charts as SVG, drawn on the server: no script, no style in the page, and colours from the design tokens by class.

Times are drawn in UTC with `data-at`, by which the script shows them in the viewer's zone; days of UTC stay days of UTC.

A chart is drawn in its own units and scales with its place (`viewBox`). Every one has a title for those who do not see it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from decimal import Decimal

from markupsafe import Markup, escape


def _svg(
    width: float, height: float, label: str, body: str, *, kind: str, stretch: bool = False, role: str = "img"
) -> Markup:
    ratio = ' preserveAspectRatio="none"' if stretch else ""
    return Markup(
        f'<svg class="chart {kind}" viewBox="0 0 {width:g} {height:g}" role="{role}" aria-label="{escape(label)}"{ratio}>'
        f"<title>{escape(label)}</title>{body}</svg>"
    )


FORMS = {"clock": "%H:%M", "time": "%H:%M:%S", "weekday": "%a %H:%M", "date": "%d %b %H:%M"}
"""How a time is shown; the script has the same names."""


def _tick(x: float, y: float, at: datetime, form: str, anchor: str = "start") -> str:
    """A time below a chart, with UTC on hover."""
    utc = at.astimezone(timezone.utc)
    return (
        f'<text class="tick" x="{x:.1f}" y="{y:g}" text-anchor="{anchor}"><title>{utc:%Y-%m-%d %H:%M:%S} UTC</title>'
        f'<tspan data-at="{utc.isoformat()}" data-form="{form}">{utc:{FORMS[form]}}</tspan></text>'
    )


def _said(at: datetime, form: str, rest: str) -> tuple[str, str]:
    """A time and what was then: as attributes for the script, and as a sentence in UTC."""
    utc = at.astimezone(timezone.utc)
    return (
        f'data-at="{utc.isoformat()}" data-form="{form}" data-rest="{escape(rest)}"',
        f"{utc:{FORMS[form]}} UTC · {rest}",
    )


def sparkline(values: Sequence[float | None], label: str, hue: str = "accent") -> Markup:
    """A line of the newest values, from 0 to their highest."""
    known = [value or 0.0 for value in values]
    if len(known) < 2:
        return _svg(160, 28, label, "", kind="spark")
    top = max(*known, 1e-9)
    step = 160 / (len(known) - 1)
    line = " ".join(f"{n * step:.1f},{26 - 24 * value / top:.1f}" for n, value in enumerate(known))
    body = f'<polygon class="fill-{hue}" points="0,28 {line} 160,28"/><polyline class="line-{hue}" points="{line}"/>'
    return _svg(160, 28, label, body, kind="spark", stretch=True)


def lag(samples: Sequence[tuple[float, int]], label: str) -> Markup:
    """The lag of a group over time as a line, with its highest and the hours of its ends; samples are epoch seconds, records."""
    width, height, base = 580.0, 150.0, 130.0
    if len(samples) < 2:
        return _svg(width, height, label, "", kind="dots")
    first, span = samples[0][0], max(samples[-1][0] - samples[0][0], 1e-9)
    top = max(*(value for _, value in samples), 1)
    line = " ".join(f"{width * (at - first) / span:.1f},{base - (base - 18) * n / top:.1f}" for at, n in samples)
    ends = [(2.0, "start", samples[0][0]), (width - 2, "end", samples[-1][0])]
    body = (
        f'<polygon class="fill-review" points="0,{base:g} {line} {width:g},{base:g}"/>'
        f'<polyline class="line-review" points="{line}"/>'
        f'<line class="axis" x1="0" y1="{base:g}" x2="{width:g}" y2="{base:g}"/>'
        f'<text class="tick" x="2" y="12">at most {top:,}</text>'
    )
    for x, anchor, at in ends:
        body += _tick(x, base + 14, datetime.fromtimestamp(at, timezone.utc), "time", anchor)
    return _svg(width, height, label, body, kind="dots")


def reason_bar(start: int, value: int, highest: int, hue: str, *, counts: bool) -> Markup:
    """One rule's part of a score as a bar on a scale from 0 to the highest sum of points."""
    scale = 100 / max(highest, 100)
    left, width = min(start, start + value) * scale, max(abs(value) * scale, 0.8)
    kind = f"hue-{hue}" if counts else "hue-none"
    body = f'<rect class="track" width="100" height="8" rx="2"/><rect class="{kind}" x="{max(0.0, left):.1f}" width="{width:.1f}" height="8" rx="2"/>'  # noqa: E501
    return _svg(100, 8, f"{value} points after {start}", body, kind="bar", stretch=True)


def meter(share: float, label: str, hue: str = "accent") -> Markup:
    """A share between 0 and 1 as a bar."""
    width = 100 * min(max(share, 0.0), 1.0)
    body = f'<rect class="track" width="100" height="6" rx="2"/><rect class="hue-{hue}" width="{width:.1f}" height="6" rx="2"/>'
    return _svg(100, 6, label, body, kind="bar", stretch=True)


def amounts(dots: Sequence[tuple[datetime, Decimal, bool]], band: tuple[float, float] | None, label: str) -> Markup:
    """Amounts over time as dots, flagged ones in red, over the usual band. The vertical scale is a square root, so that usual
    amounts are not a line at the bottom."""
    width, height, base = 580.0, 130.0, 120.0
    if not dots:
        return _svg(width, height, label, "", kind="dots")
    top = math.sqrt(max(float(value) for _, value, _ in dots)) or 1.0
    first, last = dots[0][0].timestamp(), dots[-1][0].timestamp()
    span = max(last - first, 1.0)

    def y(value: float) -> float:
        return base - (base - 8) * math.sqrt(max(value, 0.0)) / top

    body = ""
    if band is not None:
        low, high = y(band[1]), y(band[0])
        body += f'<rect class="usual" x="0" y="{low:.1f}" width="{width:g}" height="{max(high - low, 2):.1f}"/>'
    body += f'<line class="axis" x1="0" y1="{base:g}" x2="{width:g}" y2="{base:g}"/>'
    for at, value, flagged in sorted(dots, key=lambda dot: dot[2]):
        x = 5 + (width - 10) * (at.timestamp() - first) / span
        kind, size = ("flagged", 4) if flagged else ("dot", 2.2)
        attributes, said = _said(at, "date", f"{value:,.2f}")
        body += f'<circle class="{kind}" cx="{x:.1f}" cy="{y(float(value)):.1f}" r="{size}" {attributes}><title>{said}</title></circle>'  # noqa: E501
    return _svg(width, height, label, body, kind="dots")


def usual_band(values: Sequence[Decimal]) -> tuple[float, float] | None:
    """From the tenth to the ninetieth percentile; None below five values."""
    if len(values) < 5:
        return None
    ordered = sorted(float(value) for value in values)
    return ordered[len(ordered) // 10], ordered[(len(ordered) * 9) // 10]


def columns(
    buckets: Sequence[tuple[datetime, Mapping[str, int], str]],
    line: Sequence[float],
    label: str,
    form: str,
    top: float = 0,
    counted: str = "alerts",
) -> Markup:
    """Volume as an area above, alerts as columns stacked by the family of their rule below; each column is a link.

    A bucket is its begin, the alerts by family, and the address that it opens; `line` has the volume of each, `form` is one of
    FORMS, `counted` says what is stacked. The last bucket is not over yet: its volume is told and not drawn, where it would look
    like a fall.
    """
    width, upper, lower = 860.0, 245.0, 105.0
    step = width / max(len(buckets), 1)
    high = max([*line, top, 1.0])
    most = max([sum(found.values()) for _, found, _ in buckets] or [0])
    points = " ".join(
        f"{(n + 0.5) * step:.1f},{upper - (upper - 12) * value / high:.1f}" for n, value in enumerate(line[:-1])
    )
    body = "".join(
        f'<line class="grid" x1="0" x2="{width:g}" y1="{at:.1f}" y2="{at:.1f}"/>'
        f'<text class="tick" x="2" y="{at - 3:.1f}">{high * part:,.0f}</text>'
        for part in (0.5, 1.0)
        for at in (upper - (upper - 12) * part,)
    )
    if points:
        body += f'<polygon class="fill-accent" points="{step / 2:.1f},{upper} {points} {(len(line) - 1.5) * step:.1f},{upper}"/>'
        body += f'<polyline class="line-accent" points="{points}"/>'
    bottom = upper + lower + 10
    for n, (begin, found, target) in enumerate(buckets):
        rects, at = "", bottom
        for hue, count in sorted(found.items()):
            size = max((lower - 6) * count / max(most, 1), 2.0)
            at -= size
            rects += f'<rect class="hue-{hue}" x="{n * step + 1:.1f}" y="{at:.1f}" width="{max(step - 2, 1):.1f}" height="{size:.1f}" rx="1"/>'  # noqa: E501
        total = sum(found.values())
        volume = line[n] if n < len(line) else 0
        attributes, said = _said(begin, form, f"{volume:,.0f} transactions · {total:,} {counted}")
        body += (
            f'<a href="{escape(target)}" aria-label="{said}" {attributes}><title>{said}</title>'
            f'<rect class="hit" x="{n * step:.1f}" y="0" width="{step:.1f}" height="{bottom:g}"/>{rects}</a>'
        )
    for n in range(0, len(buckets), max(len(buckets) // 6, 1)):
        body += _tick(n * step + 2, bottom + 14, buckets[n][0], form)
    return _svg(width, bottom + 20, label, body, kind="columns", role="group")


def course(
    begins: Sequence[datetime],
    lines: Sequence[tuple[str, str, Sequence[float]]],
    label: str,
    form: str,
    targets: Sequence[str] = (),
) -> Markup:
    """Lines over stretches of time, each with its name and its hue, from 0 to the highest of all; a stretch is a link where there
    are `targets`. The last stretch is not over yet: it is told and not drawn."""
    width, base, head = 860.0, 150.0, 28.0
    step = width / max(len(begins), 1)
    top = max([value for _, _, values in lines for value in values] or [0.0]) or 1.0
    body = "".join(
        f'<line class="grid" x1="0" x2="{width:g}" y1="{at:.1f}" y2="{at:.1f}"/>'
        f'<text class="tick" x="2" y="{at - 3:.1f}">{_scale(top * part)}</text>'
        for part in (0.5, 1.0)
        for at in (base - (base - head) * part,)
    )
    for _, hue, values in lines:
        points = " ".join(
            f"{(n + 0.5) * step:.1f},{base - (base - head) * value / top:.1f}" for n, value in enumerate(values[:-1])
        )
        body += f'<polyline class="line-{hue}" points="{points}"/>'
    body += f'<line class="axis" x1="0" y1="{base:g}" x2="{width:g}" y2="{base:g}"/>'
    for n, begin in enumerate(begins):
        rest = " · ".join(f"{name} {_scale(values[n])}" for name, _, values in lines)
        attributes, said = _said(begin, form, rest)
        rect = f'<rect class="hit" x="{n * step:.1f}" y="0" width="{step:.1f}" height="{base:g}"/>'
        inner = f"<title>{escape(said)}</title>{rect}"
        body += (
            f'<a href="{escape(targets[n])}" aria-label="{escape(said)}" {attributes}>{inner}</a>'
            if targets
            else f"<g {attributes}>{inner}</g>"
        )
    for n in range(0, len(begins), max(len(begins) // 6, 1)):
        body += _tick(n * step + 2, base + 14, begins[n], form)
    return _svg(width, base + 20, label, body, kind="columns", role="group" if targets else "img")


def _scale(value: float) -> str:
    """A number at an axis: with places only where it is small."""
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:,.2f}"


def places(points: Sequence[tuple[float, float, int, int, str]], label: str) -> Markup:
    """Where transactions are made: longitude, latitude, how many, how many flagged, name. The frame fits what there is."""
    width, height = 300.0, 220.0
    if not points:
        return _svg(width, height, label, "", kind="places")
    west, east = min(p[0] for p in points), max(p[0] for p in points)
    south, north = min(p[1] for p in points), max(p[1] for p in points)
    scale = min((width - 50) / max(east - west, 0.5), (height - 50) / max(north - south, 0.5))
    most = max(p[2] for p in points)
    body = ""
    named: list[tuple[float, float, float]] = []
    for longitude, latitude, count, flagged, name in sorted(points, key=lambda p: -p[2]):
        x = width / 2 + (longitude - (east + west) / 2) * scale
        y = height / 2 - (latitude - (north + south) / 2) * scale
        size = 3 + 15 * (count / most) ** 0.5
        title = escape(f"{name}: {count:,} transactions, {flagged:,} flagged")
        body += f'<g><title>{title}</title><circle class="place" cx="{x:.1f}" cy="{y:.1f}" r="{size:.1f}"/>'
        if flagged:
            body += f'<circle class="flagged" cx="{x:.1f}" cy="{y:.1f}" r="{max(2.0, size * (flagged / count) ** 0.5):.1f}"/>'
        left, right = x + size + 2, x + size + 2 + 5.5 * len(name)
        # Of names that would cover each other, the largest place has its own; the others have it on hover.
        if size > 8 and not any(abs(y - other) < 10 and left < end and begin < right for begin, end, other in named):
            named.append((left, right, y))
            body += f'<text class="tick" x="{left:.1f}" y="{y + 3:.1f}">{escape(name)}</text>'
        body += "</g>"
    return _svg(width, height, label, body, kind="places")


def stacks(groups: Sequence[tuple[str, Sequence[tuple[float, str]]]], label: str) -> Markup:
    """As `bars`, with the values of a group on top of each other."""
    width, height, base = 580.0, 190.0, 165.0
    top = max([sum(value for value, _ in values) for _, values in groups] or [0]) or 1.0
    step = width / max(len(groups), 1)
    every = max(1, math.ceil(len(groups) / 10))
    body = f'<line class="axis" x1="0" y1="{base:g}" x2="{width:g}" y2="{base:g}"/>'
    body += (
        f'<line class="grid" x1="0" y1="16" x2="{width:g}" y2="16"/><text class="tick" x="2" y="12">{top:,.0f}</text>'
    )
    for n, (name, values) in enumerate(groups):
        said = ", ".join(f"{value:,.0f}" for value, _ in values)
        body += f'<g><title>{escape(name)}: {escape(said)}</title><rect class="hit" x="{n * step:.1f}" y="0" width="{step:.1f}" height="{base:g}"/>'  # noqa: E501
        at = base
        for value, hue in values:
            high = (base - 16) * value / top
            at -= high
            body += f'<rect class="hue-{hue}" x="{n * step + 2:.1f}" y="{at:.1f}" width="{max(step - 4, 1):.1f}" height="{high:.1f}"/>'  # noqa: E501
        body += "</g>"
        if n % every == 0:
            body += f'<text class="tick" x="{n * step + 2:.1f}" y="{base + 14:g}">{escape(name)}</text>'
    return _svg(width, height, label, body, kind="bars")


def bars(groups: Sequence[tuple[str, Sequence[tuple[float, str]]]], label: str) -> Markup:
    """Bars side by side for each group: its name, and values with the hue of each. A value is written above its bar."""
    width, height, base = 580.0, 190.0, 165.0
    top = max([value for _, values in groups for value, _ in values] or [0]) or 1.0
    step = width / max(len(groups), 1)
    every = max(1, math.ceil(len(groups) / 12))
    body = f'<line class="axis" x1="0" y1="{base:g}" x2="{width:g}" y2="{base:g}"/>'
    for n, (name, values) in enumerate(groups):
        size = min(26.0, (step - 4) / max(len(values), 1))
        left = n * step + (step - size * len(values)) / 2
        body += f"<g><title>{escape(name)}: {escape(', '.join(f'{value:,.0f}' for value, _ in values))}</title>"
        for m, (value, hue) in enumerate(values):
            high = (base - 16) * value / top
            body += f'<rect class="hue-{hue}" x="{left + m * size:.1f}" y="{base - high:.1f}" width="{max(size - 2, 1):.1f}" height="{high:.1f}" rx="1"/>'  # noqa: E501
            if size > 20 and value:
                body += f'<text class="tick" text-anchor="middle" x="{left + (m + 0.5) * size:.1f}" y="{base - high - 3:.1f}">{value:,.0f}</text>'  # noqa: E501
        body += "</g>"
        if n % every == 0:
            body += f'<text class="tick" text-anchor="middle" x="{(n + 0.5) * step:.1f}" y="{base + 14:g}">{escape(name)}</text>'
    return _svg(width, height, label, body, kind="bars")
