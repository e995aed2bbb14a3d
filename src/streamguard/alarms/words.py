"""The sentence of an alarm: its template with labels and value filled in, as Prometheus fills them.

https://prometheus.io/docs/prometheus/latest/configuration/template_reference/
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

_PLACE = re.compile(r"\{\{\s*(?:\$labels\.(?P<label>\w+)|\$value)\s*(?:\|\s*(?P<form>\w+)\s*)?\}\}")
_LARGE, _SMALL = ("", "k", "M", "G", "T", "P", "E", "Z", "Y"), ("", "m", "u", "n", "p", "f", "a", "z", "y")


def sentence(template: str, labels: Mapping[str, str], value: float) -> str:
    """The template with what it names. Raises KeyError for a form that is not known."""

    def filled(found: re.Match[str]) -> str:
        if (label := found["label"]) is not None:
            return labels.get(label, "")
        return FORMS[found["form"]](value) if found["form"] else plain(value)

    return _PLACE.sub(filled, template)


def plain(value: float) -> str:
    """The shortest decimal number that is this value."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return repr(value)


def humanized(value: float) -> str:
    """With a metric prefix."""
    if value == 0 or not math.isfinite(value):
        return f"{value:.4g}"
    steps = _LARGE if abs(value) >= 1 else _SMALL
    index = 0
    while index < len(steps) - 1 and (abs(value) >= 1_000 if steps is _LARGE else abs(value) < 1):
        value, index = (value / 1_000 if steps is _LARGE else value * 1_000), index + 1
    return f"{value:.4g}{steps[index]}"


def duration(value: float) -> str:
    """Seconds as days, hours, minutes and seconds."""
    if not math.isfinite(value):
        return plain(value)
    if abs(value) < 1:
        return f"{humanized(value)}s"
    sign, whole = ("-" if value < 0 else ""), int(abs(value))
    minutes, seconds = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    return f"{sign}{minutes}m {seconds}s" if minutes else f"{sign}{abs(value):.4g}s"


FORMS: Mapping[str, Callable[[float], str]] = {
    "humanize": humanized,
    "humanizeDuration": duration,
    "humanizePercentage": lambda value: f"{value * 100:.4g}%",
}
