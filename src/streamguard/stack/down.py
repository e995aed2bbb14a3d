"""`streamguard down`: stop everything through the supervisor; remove the data only if asked to."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from streamguard.alarms.store import forget
from streamguard.config import Settings
from streamguard.metrics.targets import forget_dead
from streamguard.privacy.key import key_file
from streamguard.stack import compose, leftovers, locks
from streamguard.stack.errors import StackError
from streamguard.stack.parts import NAMES
from streamguard.stack.state import RESTORE_FOLDER
from streamguard.stack.supervisor import Supervisor

DATA_FOLDERS = ("postgres", "postgres.new", "broker", "ksqldb", RESTORE_FOLDER, "lake", "copies", "sinks")
"""The folders below the state folder that hold data; the last three of sinks, whose offsets are those of the topics."""


def stop(settings: Settings, report: Callable[[str], None]) -> bool:
    """Stop all processes and containers, also those whose supervisor is gone; False if nothing ran. Raises StackError."""
    supervisor = Supervisor(settings)
    ran = supervisor.alive()
    if ran:
        names = [name for name, process in supervisor.processes().items() if process.pid]
        supervisor.shutdown()
        report(f"stopped {', '.join(names) if names else 'the supervisor'}")
    ran = bool(leftovers.end(settings, report)) or ran
    if compose.is_running():
        report("docker compose stop")
        compose.stop()
        ran = True
    forget_dead(settings)
    return ran


def wipe(settings: Settings, report: Callable[[str], None]) -> None:
    """Remove the data of both stacks, its alarms and the key of its masks and tokens, and nothing else of the state folder.

    Raises StackError while anything uses the folder, and where a folder cannot be removed.
    """
    if settings.state_path.exists():
        with locks.command(settings, report), locks.alone(settings) as held:
            _refuse_in_use(settings, held)
            _remove(settings)
            forget(settings)
    compose.wipe()
    report(f"wiped the data in {settings.state_path}")
    for name, variable in settings.external.items():
        report(f"{NAMES[name]} of {variable} is not ours: what is in it stays")


def _refuse_in_use(settings: Settings, held: list[str]) -> None:
    if Supervisor(settings).alive():
        raise StackError("the stack runs: stop it before wiping its data")
    users = [f"{process.name()} (process {process.pid})" for process in locks.users(_data_folders(settings))]
    if held or users:
        raise StackError(
            f"nothing is wiped: {', '.join([*held, *users])} still uses {settings.state_path}; end it, then wipe again"
        )


def _remove(settings: Settings) -> None:
    has_database = (settings.state_path / "postgres").exists()
    for folder in _data_folders(settings):
        shutil.rmtree(folder, ignore_errors=True)
    left = [folder.name for folder in _data_folders(settings) if folder.exists()]
    if left:
        raise StackError(f"{', '.join(left)} below {settings.state_path} could not be removed")
    # The key that a database elsewhere was made with is of use as long as that is there.
    if has_database and "postgres" not in settings.external:
        key_file(settings).unlink(missing_ok=True)


def _data_folders(settings: Settings) -> list[Path]:
    return [*(settings.state_path / name for name in DATA_FOLDERS), *settings.state_path.glob("ksqldb-*")]
