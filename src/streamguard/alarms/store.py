"""What is kept of alarms in the state folder, so that a restart forgets nothing and announces nothing twice.

`alarms/state.json`: what is active, and what each receiver knows; `alarms/samples.json`: what rules look back on.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from streamguard.alarms.notify import Told
from streamguard.alarms.samples import Samples
from streamguard.alarms.states import Active, States
from streamguard.config import Settings

log = logging.getLogger("streamguard.alarms")


@dataclass
class Kept:
    """What is known: the state of alarms at `at_s` (epoch seconds; 0 for never), and of receivers by name."""

    at_s: float = 0.0
    states: States = field(default_factory=States)
    told: dict[str, Told] = field(default_factory=dict)


def folder_of(settings: Settings) -> Path:
    """Where it is."""
    return settings.state_path / "alarms"


def read(settings: Settings) -> Kept:
    """What was kept; nothing where there is none, or it cannot be read."""
    found = _load(folder_of(settings) / "state.json")
    if found is None:
        return Kept()
    try:
        told = {name: Told.load(dumped) for name, dumped in found["told"].items()}
        return Kept(float(found["at_s"]), States(Active(**alarm) for alarm in found["alarms"]), told)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        log.warning("the state of alarms is not as expected (%s): it begins anew", error)
        return Kept()


def write(settings: Settings, kept: Kept) -> None:
    """Keep it, whole or not at all."""
    told = {name: one.dump() for name, one in kept.told.items()}
    _save(folder_of(settings) / "state.json", {"at_s": kept.at_s, "alarms": kept.states.dump(), "told": told})


def read_samples(settings: Settings, samples: Samples) -> None:
    """Add what was kept of them."""
    found = _load(folder_of(settings) / "samples.json")
    try:
        samples.load(found["series"] if found else ())
    except (KeyError, TypeError, ValueError) as error:
        log.warning("the samples of alarms are not as expected (%s): they begin anew", error)


def write_samples(settings: Settings, samples: Samples) -> None:
    """Keep them."""
    _save(folder_of(settings) / "samples.json", {"series": samples.dump()})


def forget(settings: Settings) -> None:
    """Of data that was wiped nothing is known any more. What receivers were told stays, so that they hear of its end."""
    if folder_of(settings).exists():
        write(settings, Kept(told=read(settings).told))
        _save(folder_of(settings) / "samples.json", {"series": []})


def _load(file: Path) -> dict[str, Any] | None:
    try:
        found = orjson.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("%s cannot be read (%s): it begins anew", file, error)
        return None
    return found if isinstance(found, dict) else None


def _save(file: Path, content: Mapping[str, Any]) -> None:
    being_written = file.with_suffix(".tmp")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        being_written.write_bytes(orjson.dumps(content))
        being_written.replace(file)
    except OSError as error:
        # A full disk is an alarm itself: it has to be announced all the same.
        log.warning("%s cannot be written: %s", file, error.strerror)
