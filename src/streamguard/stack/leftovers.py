"""What still runs after its supervisor has ended or no longer answers: found by the locks of the state folder, and ended.

Parts end with their supervisor by themselves; one that is frozen, or whose database takes long to shut down, may live on.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from streamguard.config import Settings
from streamguard.stack import locks
from streamguard.stack.conf import conf_file, pid_file
from streamguard.stack.errors import StackError
from streamguard.stack.postgres import clear_remains

PATIENCE_S = 20.0
"""How long a part may take to end by itself, as under the supervisor."""

_SUPERVISOR = "supervisord"
_ENDS_WITH = {"postgres": signal.SIGINT, "generator": signal.SIGINT, _SUPERVISOR: signal.SIGKILL}
"""Postgres takes SIGINT for a fast and clean shutdown. A supervisor that does not answer has no way to end cleanly."""


@dataclass(frozen=True)
class Leftover:
    """A part that runs without a supervisor that answers; `process` is its first process."""

    name: str
    process: psutil.Process

    def __str__(self) -> str:
        return f"{self.name} (process {self.process.pid})"


def find(settings: Settings) -> list[Leftover]:
    """What runs on this state folder, by name. Call it where the supervisor does not answer."""
    found = [Leftover(_SUPERVISOR, process) for process in _supervisors(settings)]
    for name in locks.held(settings):
        found += [Leftover(name, process) for process in locks.holders(locks.lock_file(settings, name))]
    return found


def end(settings: Settings, report: Callable[[str], None]) -> list[str]:
    """End what is left, cleanly where that works; returns the names. Raises StackError for what does not end."""
    # The supervisor first: it would start its parts again.
    found = [*_end_all([Leftover(_SUPERVISOR, process) for process in _supervisors(settings)])]
    found += _end_all(find(settings))
    if found:
        clear_remains(settings.state_path / "postgres")
        report(f"ended what ran without a supervisor that answers: {', '.join(map(str, found))}")
    if left := _held_after(PATIENCE_S, settings):
        files = ", ".join(str(locks.lock_file(settings, name)) for name in left)
        raise StackError(
            f"{', '.join(left)} still run and cannot be ended from here: end the processes that hold {files}"
        )
    return [leftover.name for leftover in found]


def _end_all(found: list[Leftover]) -> list[Leftover]:
    for leftover in found:
        _send(leftover, _ENDS_WITH.get(leftover.name, signal.SIGTERM))
    for leftover in _alive_after(PATIENCE_S, found):
        # Postgres is never killed with -9: an immediate shutdown ends its children too, and recovers at the next start.
        _send(leftover, signal.SIGQUIT if leftover.name == "postgres" else signal.SIGKILL)
    if alive := _alive_after(PATIENCE_S, found):
        names = ", ".join(map(str, alive))
        raise StackError(f"{names} does not end within {2 * PATIENCE_S:.0f} s: end it by hand, then repeat the command")
    return found


def _alive_after(patience_s: float, leftovers: list[Leftover]) -> list[Leftover]:
    """Wait until all have ended, or for `patience_s`; those that have not."""
    deadline = time.monotonic() + patience_s
    while alive := [leftover for leftover in leftovers if not _has_ended(leftover.process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return alive


def _held_after(patience_s: float, settings: Settings) -> list[str]:
    """The locks that are held still: the last children of a part may end a moment after it."""
    deadline = time.monotonic() + patience_s
    while (names := locks.held(settings)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return names


def _has_ended(process: psutil.Process) -> bool:
    """Also where nobody reaps it, as in a container without an init process."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _send(leftover: Leftover, number: int) -> None:
    try:
        leftover.process.send_signal(number)
        # A frozen process acts on signals once it continues.
        leftover.process.send_signal(signal.SIGCONT)
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied:
        raise StackError(f"{leftover} belongs to another user: end it as that user or as root") from None


def _supervisors(settings: Settings) -> list[psutil.Process]:
    try:
        process = psutil.Process(int(pid_file(settings).read_text()))
        ours = str(conf_file(settings)) in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, psutil.Error):
        return []
    return [process] if ours else []
