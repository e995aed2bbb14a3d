"""Numbers with their units, short enough for a column."""

from __future__ import annotations

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def bytes_(size: float) -> str:
    """Bytes with a unit of 1,024, such as 120 MiB or 1.5 GiB."""
    for unit in _UNITS:
        if abs(size) < 1_000 or unit == _UNITS[-1]:
            break
        size /= 1_024
    return f"{size:.1f} {unit}" if unit != "B" and size < 10 else f"{size:.0f} {unit}"


def age(seconds: float | None) -> str:
    """Seconds as 12 s, 5:07 min, 3:07:12 or 12 d 3 h; empty for None."""
    if seconds is None:
        return ""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60}:{whole % 60:02} min"
    if whole < 86_400:
        return f"{whole // 3_600}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{whole // 86_400} d {whole // 3_600 % 24} h"


def count(number: int | None) -> str:
    """A number with its thousands; a question mark where it is not known."""
    return "?" if number is None else f"{number:,}"
