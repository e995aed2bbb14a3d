"""A check in words: its value with the unit, and what the value may be."""

from __future__ import annotations

from datetime import timedelta

from streamguard.quality.report import Check


def shown(check: Check, value: float | None) -> str:
    """A value of a check with its unit."""
    if value is None:
        return "-"
    if check.name.startswith("event to row"):
        return f"{value:,.2f} s" if value < 60 else str(timedelta(seconds=round(value)))
    if check.name.startswith("records"):
        return f"{value:,.0f}"
    return f"{value:.2%}"


def limit(check: Check) -> str:
    """What a value may be; empty where there is no limit."""
    words = []
    if check.least is not None:
        words.append(f"{shown(check, check.least)} or more")
    if check.most is not None:
        words.append(f"at most {shown(check, check.most)}")
    return ", ".join(words)
