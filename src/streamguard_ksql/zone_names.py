"""The names of time zones, as Java reads and writes them in English: `PDT`, `Central European Summer Time`.

Several zones share a name. Reading takes the one that Java takes, whatever a person might have meant: `IST` is that of
Reykjavik, `BST` that of Bougainville. A name stands for a region, not for an offset: `PDT` in January is Los Angeles in
winter.

Source: zone_names.tsv, recorded from java.time of OpenJDK 11, on which ksqlDB 0.29 runs, by tests/recordings/ZoneNames.java.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Names:
    """How a zone is written: short and long, in winter, in summer and in general."""

    winter: str
    long_winter: str
    summer: str
    long_summer: str
    general: str
    long_general: str


@dataclass(frozen=True)
class _Tables:
    """short, full: zones by their names in small letters; ids: by their ids in small letters; written: by their ids."""

    short: dict[str, str]
    full: dict[str, str]
    ids: dict[str, str]
    written: dict[str, Names]


@cache
def _tables() -> _Tables:
    tables = _Tables({}, {}, {}, {})
    text = files(__package__).joinpath("zone_names.tsv").read_text(encoding="utf-8")
    for line in text.splitlines():
        kind, *cells = line.split("\t")
        if kind == "read":
            style, name, zone = cells
            (tables.short if style == "short" else tables.full)[name] = zone
        else:
            zone, *names = cells
            tables.ids[zone.lower()] = zone
            tables.written[zone] = Names(*names)
    return tables


def find_by_name(name: str, *, full: bool) -> str | None:
    """The id of the zone that a short or a full name in any letter case stands for, None if it is no such name."""
    tables = _tables()
    return (tables.full if full else tables.short).get(name.lower())


def find_by_id(name: str) -> str:
    """A zone's id as it is spelt, for one in any letter case; a name that is not in the table stays as it is."""
    return _tables().ids.get(name.lower(), name)


def full_names() -> list[str]:
    """All full names in small letters, the longest first."""
    return sorted(_tables().full, key=lambda name: (-len(name), name))


def names_of(zone: str) -> Names | None:
    """How the zone of an id is written."""
    return _tables().written.get(zone)
