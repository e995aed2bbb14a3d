"""What `up --with` asks for: extras and sinks by name. The choice is kept in the state folder, until another one is made."""

from __future__ import annotations

import os

from streamguard.config import Settings
from streamguard.config.extras import need
from streamguard.schedules.plan import plan_file, read_plan
from streamguard.sinks import SINKS
from streamguard.sinks.chosen import check as check_sinks
from streamguard.stack.errors import StackError

EXTRAS = {"batch": "apscheduler", "lake": "deltalake", "mongodb": "pymongo", "otel": "opentelemetry.sdk"}
EXTRAS |= {"warehouse": "snowflake.connector"}
"""A module of each extra that is to be there."""
NONE = "none"
_SINKS_OF = {"warehouse": "snowflake"}
"""The sinks that have another name than their extra."""
_FILE = "with"


def names_in(text: str) -> tuple[str, ...]:
    """The names of `--with`, each once; `none` is no name. Raises StackError for one that there is not."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip() not in ("", NONE)))
    known = sorted({*EXTRAS, *SINKS})
    for name in names:
        if name not in known:
            raise StackError(f"--with {name}: there is no such extra or sink; choose {', '.join(known)}, or {NONE}")
    return names


def kept(settings: Settings) -> tuple[str, ...]:
    """The names of the last start that was given some. Raises StackError."""
    file = settings.state_path / _FILE
    try:
        return names_in(file.read_text(encoding="utf-8").replace("\n", ","))
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise StackError(f"{file} cannot be read ({error}): remove it, and name the extras with --with again") from None


def keep(settings: Settings, names: tuple[str, ...]) -> None:
    """For starts to come. Raises StackError."""
    file = settings.state_path / _FILE
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
            opened.writelines(f"{name}\n" for name in names)
    except OSError as error:
        raise StackError(f"{file} cannot be written: {error.strerror}") from None


def sinks_of(settings: Settings, names: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """The sinks that the stack runs: of STREAMGUARD_SINKS, and of `names` (without: those that are kept)."""
    chosen = kept(settings) if names is None else names
    asked = (_SINKS_OF.get(name, name) for name in chosen)
    return tuple(dict.fromkeys((*settings.sink_names, *(name for name in asked if name in SINKS))))


def check(settings: Settings, names: tuple[str, ...] | None = None) -> None:
    """Raises UserError, one sentence, where a library or a setting of what is asked for is missing."""
    chosen = kept(settings) if names is None else names
    for name in chosen:
        if name in EXTRAS and _SINKS_OF.get(name, name) not in SINKS:
            need(name, EXTRAS[name])
    if read_plan(plan_file(settings)):
        need("batch", EXTRAS["batch"])
    check_sinks(settings, sinks_of(settings, chosen))
