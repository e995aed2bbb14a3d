"""What can be read of a record that fits no model."""

from __future__ import annotations

from typing import Any

from streamguard.models.columns import exact_loads, text_of


def fields_of(value: bytes | None) -> dict[str, Any]:
    """The fields of a record by their names in lower case, of two spellings the one that SQL reads; empty if unreadable.

    Fractions are decimals, with the digits that a text shows.
    """
    try:
        found = exact_loads(value or b"")
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    spelt: dict[str, str] = {}
    for name in found:
        if spelt.get(name.lower()) != name.upper():
            spelt[name.lower()] = name
    return {name: found[written] for name, written in spelt.items()}


def text_field(value: bytes | None, name: str) -> str | None:
    """A field as SQL reads it into a text; None where it is missing or empty."""
    found = text_of(fields_of(value).get(name))
    return str(found) if found else None
