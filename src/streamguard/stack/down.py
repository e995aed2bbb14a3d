"""`streamguard down`: stop everything through the supervisor; remove the data only if asked to."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from streamguard.config import Settings
from streamguard.stack import compose
from streamguard.stack.errors import StackError
from streamguard.stack.supervisor import Supervisor

DATA_FOLDERS = ("postgres", "postgres.new", "broker", "ksqldb")
"""The folders below the state folder that hold data."""


def stop(settings: Settings, report: Callable[[str], None]) -> bool:
    """Stop all processes and containers; False if nothing ran. Raises StackError."""
    supervisor = Supervisor(settings)
    ran = supervisor.alive()
    if ran:
        names = [name for name, process in supervisor.processes().items() if process.pid]
        supervisor.shutdown()
        report(f"stopped {', '.join(names) if names else 'the supervisor'}")
    if compose.is_running():
        report("docker compose stop")
        compose.stop()
        ran = True
    return ran


def wipe(settings: Settings, report: Callable[[str], None]) -> None:
    """Remove the data of both stacks, and nothing else below the state folder.

    Raises StackError while processes run, and where a folder cannot be removed.
    """
    if Supervisor(settings).alive():
        raise StackError("the stack runs: stop it before wiping its data")
    for name in DATA_FOLDERS:
        shutil.rmtree(settings.state_path / name, ignore_errors=True)
    left = [name for name in DATA_FOLDERS if (settings.state_path / name).exists()]
    if left:
        raise StackError(f"{', '.join(left)} below {settings.state_path} could not be removed")
    compose.wipe()
    report(f"wiped the data in {settings.state_path}")
