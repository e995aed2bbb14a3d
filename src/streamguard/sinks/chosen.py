"""Which sinks the stack runs: those of the settings, and those that `up --with` has asked for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from streamguard.config import Settings
from streamguard.config.resources import sql_file
from streamguard.sinks.base import SINKS, Kind, SinkError


def kind_of(name: str) -> Kind:
    """A sink by its name. Raises SinkError for one that there is not."""
    if name not in SINKS:
        raise SinkError(f"there is no sink {name!r}; choose {', '.join(sorted(SINKS))}")
    return SINKS[name]


def check(settings: Settings, names: tuple[str, ...]) -> None:
    """Raises SinkError or UserError for a sink that is unknown, lacks its library, or that the settings send nowhere."""
    for name in names:
        kind = kind_of(name)
        kind.check_library()
        kind.destination(settings)


def sql_of(names: Iterable[str]) -> list[Path]:
    """The SQL files of these sinks. Raises SinkError for one that there is not."""
    return [sql_file(file) for file in dict.fromkeys(file for name in names for file in kind_of(name).sql)]


def sql_of_all() -> list[Path]:
    """The SQL files of all sinks, chosen or not."""
    return sql_of(sorted(SINKS))
