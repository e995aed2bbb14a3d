"""The charts of each job, as plotly.js takes them: data and layout; colours are names that the page fills in for its theme."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from streamguard.analytics.report.words import WEEKDAYS

Rows = Mapping[str, list[dict[str, Any]]]
Figure = dict[str, Any]

BLUE, ORANGE, GREEN, RED, GREY = "@blue", "@orange", "@green", "@red", "@grey"
MOST_MERCHANTS, MOST_BARS = 300, 14


@dataclass(frozen=True)
class Chart:
    """A chart, and what it shows in words."""

    title: str
    figure: Figure


CHARTS: dict[str, Callable[[Rows], Iterator[Chart]]] = {}


def _charts(job: str) -> Callable[[Callable[[Rows], Iterator[Chart]]], Callable[[Rows], Iterator[Chart]]]:
    def register(make: Callable[[Rows], Iterator[Chart]]) -> Callable[[Rows], Iterator[Chart]]:
        CHARTS[job] = make
        return make

    return register


def _bars(name: str, x: list[Any], y: list[Any], colour: str, **more: Any) -> Figure:
    return {"type": "bar", "name": name, "x": x, "y": y, "marker": {"color": colour}, **more}


def _figure(data: list[Figure], y: str = "", x: str = "", **layout: Any) -> Figure:
    axes = {
        "xaxis": {"title": {"text": x}, **layout.pop("xaxis", {})},
        "yaxis": {"title": {"text": y}, **layout.pop("yaxis", {})},
    }
    return {"data": data, "layout": {**axes, **layout}}


@_charts("commission")
def _commission(rows: Rows) -> Iterator[Chart]:
    found = sorted(rows["by_category"], key=lambda row: -row["amount"])[:MOST_BARS]
    names = [row["merchant_category"] for row in found]
    structures = (("flat", GREY), ("progressive", BLUE), ("tiered", ORANGE), ("by_category", GREEN))
    data = [
        _bars(name.replace("_", " "), names, [float(row[f"{name}_rate"] or 0) for row in found], colour)
        for name, colour in structures
    ]
    yield Chart(
        "Commission as a share of the amount", _figure(data, "share of the amount", yaxis={"tickformat": ".1%"})
    )


@_charts("patterns")
def _patterns(rows: Rows) -> Iterator[Chart]:
    cells = {(row["weekday"], row["hour"]): row["payments"] / row["days"] for row in rows["by_hour_of_week"]}
    heat: Figure = {
        "type": "heatmap",
        "x": list(range(24)),
        "y": list(WEEKDAYS),
        "z": [[cells.get((day, hour), 0) for hour in range(24)] for day in range(1, 8)],
        "colorscale": "@scale",
        "hovertemplate": "%{y} %{x}:00 UTC: %{z:.1f} payments<extra></extra>",
    }
    yield Chart(
        "Payments in an hour of the week, on the average",
        _figure([heat], x="hour (UTC)", yaxis={"autorange": "reversed"}, xaxis={"dtick": 2}),
    )
    days = rows["by_day"]
    line: Figure = {"type": "scatter", "mode": "lines", "line": {"color": BLUE}, "name": "payments"}
    line |= {"x": [row["day"].isoformat() for row in days], "y": [row["payments"] for row in days]}
    yield Chart("Payments by day", _figure([line], "payments", yaxis={"rangemode": "tozero"}))


@_charts("segments")
def _segments(rows: Rows) -> Iterator[Chart]:
    for table, key, title in (
        ("by_segment", "segment", "Segments: their share of accounts and money"),
        ("by_cluster", "cluster", "Clusters: the same"),
    ):
        found = list(reversed(rows[table]))
        names = [row[key] for row in found]
        data: list[Figure] = [
            {
                **_bars(words, [row[f"{name}_share"] for row in found], names, colour),
                "orientation": "h",
            }
            for name, words, colour in (("amount", "money", ORANGE), ("accounts", "accounts", BLUE))
        ]
        layout: Figure = {
            "xaxis": {"tickformat": ".0%"},
            "yaxis": {"automargin": True},
            "legend": {"traceorder": "reversed"},
        }
        yield Chart(title, _figure(data, **layout))


@_charts("lifetime")
def _lifetime(rows: Rows) -> Iterator[Chart]:
    values = [float(row["commission"]) for row in rows["accounts"]]
    whole = sum(values)
    if not whole:
        return
    sums = list(accumulate(values))
    step = max(1, len(values) // 200)
    places = [*range(step - 1, len(values) - 1, step), len(values) - 1]
    line: Figure = {"type": "scatter", "mode": "lines", "line": {"color": BLUE}, "fill": "tozeroy"}
    line |= {"x": [0.0, *((n + 1) / len(values) for n in places)], "y": [0.0, *(sums[n] / whole for n in places)]}
    line["hovertemplate"] = "the most valuable %{x:.0%} of the accounts bring %{y:.0%}<extra></extra>"
    axes = {name: {"tickformat": ".0%", "range": [0, 1]} for name in ("xaxis", "yaxis")}
    yield Chart(
        "How much the most valuable accounts bring", _figure([line], "of the commission", "of the accounts", **axes)
    )


@_charts("channels")
def _channels(rows: Rows) -> Iterator[Chart]:
    found = rows["by_channel"]
    names = [row["channel"] for row in found]
    shown = (
        ("payments_share", "payments", BLUE),
        ("amount_share", "money", ORANGE),
        ("preferred_share", "preferred by accounts", GREEN),
    )
    data = [_bars(words, names, [row[name] or 0 for row in found], colour) for name, words, colour in shown]
    yield Chart("Shares of the channels", _figure(data, yaxis={"tickformat": ".0%"}))


@_charts("merchants")
def _merchants(rows: Rows) -> Iterator[Chart]:
    data = []
    for level, colour in (("usual", BLUE), ("raised", ORANGE), ("high", RED)):
        found = [row for row in rows["merchants"][:MOST_MERCHANTS] if row["risk"] == level]
        dots: Figure = {
            "type": "scatter",
            "mode": "markers",
            "name": f"{level} risk",
            "marker": {"color": colour, "size": 8, "opacity": 0.75},
        }
        dots |= {"x": [float(row["amount"]) for row in found], "y": [row["risk_share"] or 0 for row in found]}
        dots["text"] = [
            f"{row['merchant_name'] or row['merchant_id']} ({row['merchant_category'] or 'unknown'}):"
            f" {row['frauds']} frauds of {row['payments']:,} payments"
            for row in found
        ]
        data.append({**dots, "hovertemplate": "%{text}<extra></extra>"})
    layout: Figure = {"xaxis": {"type": "log"}, "yaxis": {"tickformat": ".1%", "rangemode": "tozero"}}
    yield Chart(
        f"Merchants: amount and risk (the {MOST_MERCHANTS} largest)", _figure(data, "risk share", "amount", **layout)
    )


@_charts("revenue")
def _revenue(rows: Rows) -> Iterator[Chart]:
    days, ahead = rows["by_day"], rows["forecast"]
    known: Figure = {"type": "scatter", "mode": "lines", "name": "commission", "line": {"color": BLUE}}
    known |= {"x": [row["day"].isoformat() for row in days], "y": [float(row["commission"]) for row in days]}
    data: list[Figure] = [known]
    if ahead:
        x = [row["day"].isoformat() for row in ahead]
        band: Figure = {
            "type": "scatter",
            "mode": "lines",
            "line": {"width": 0},
            "hoverinfo": "skip",
            "x": x,
            "showlegend": False,
        }
        data.append({**band, "y": [row["low"] for row in ahead]})
        more: Figure = {"fill": "tonexty", "fillcolor": "@band", "name": "as far off as it was", "showlegend": True}
        data.append({**band, "y": [row["high"] for row in ahead], **more})
        line: Figure = {
            "type": "scatter",
            "mode": "lines",
            "name": "forecast",
            "line": {"color": ORANGE, "dash": "dot"},
        }
        data.append({**line, "x": x, "y": [row["expected"] for row in ahead]})
    yield Chart("Commission by day, and the forecast", _figure(data, "commission", yaxis={"rangemode": "tozero"}))


@_charts("losses")
def _losses(rows: Rows) -> Iterator[Chart]:
    days = rows["by_day"]
    x = [row["day"].isoformat() for row in days]
    shown = (("saved_amount", "saved", GREEN), ("in_review_amount", "in review", ORANGE), ("lost_amount", "lost", RED))
    data = [_bars(words, x, [float(row[name]) for row in days], colour) for name, words, colour in shown]
    yield Chart("Fraud by day", _figure(data, "amount", barmode="stack"))
    rules = rows["by_rule"]
    if rules:
        names = [row["rule"] for row in rules]
        bars = [
            _bars("fraud", names, [row["frauds"] for row in rules], GREEN),
            _bars("honest", names, [row["flagged"] - row["frauds"] for row in rules], GREY),
        ]
        yield Chart("Payments that each rule flagged", _figure(bars, "payments", barmode="stack"))
