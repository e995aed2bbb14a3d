"""Reasons that the desk suggests where it asks for one, by the part of the desk: those of a fraud fit no topic."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

SUGGESTED = MappingProxyType(
    {
        "/queue": ("customer confirmed it", "customer denies it", "known pattern", "card reported stolen"),
        "/accounts": ("customer denies it", "card reported stolen", "chargebacks", "trusted customer"),
        "/lists": ("chargebacks", "emulator", "stolen device", "trusted partner", "listed by mistake"),
        "/rules": ("too many false alarms", "measured first", "back-test was good", "a new pattern of fraud"),
        "/topics": ("the producer was mended", "wrong field in the record", "read again from here", "test of a change"),
        "/sql": ("a new report", "test of a change", "not used any more"),
        "/system": ("joined the team", "left the team", "other duties", "lost the password"),
    }
)
"""By the entry of the rail."""
TO_SEE_PERSONAL_DATA = ("the customer asks", "compared with another case", "asked by the police")


def suggested(area: str) -> Sequence[str]:
    """The reasons for a page that belongs to this entry of the rail, or lies below it."""
    return next((found for entry, found in SUGGESTED.items() if area.startswith(entry)), ())
