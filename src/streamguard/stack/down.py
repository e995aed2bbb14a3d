"""`./stop.sh`: stop everything by the supervisor; wipe the data only when told to."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

from streamguard.config import PROJECT_ROOT, Settings
from streamguard.stack.supervisor import StackError, Supervisor

KEPT = ("postgres", "postgres.new", "broker", "ksqldb")
"""The folders below the state folder that hold data."""


def stop(settings: Settings, tell: Callable[[str], None]) -> bool:
    """Stop all processes and containers; False if nothing ran. Raises StackError."""
    supervisor = Supervisor(settings)
    ran = supervisor.alive()
    if ran:
        names = [name for name, process in supervisor.processes().items() if process.pid]
        supervisor.shutdown()
        tell(f"stopped {', '.join(names) if names else 'the supervisor'}")
    if containers_run():
        tell("docker compose stop")
        subprocess.run(["docker", "compose", "stop"], cwd=PROJECT_ROOT)
        ran = True
    return ran


def wipe(settings: Settings, tell: Callable[[str], None]) -> None:
    """Remove the data of both stacks; nothing else below the state folder, and nothing while processes run."""
    if Supervisor(settings).alive():
        raise StackError("the stack runs: stop it before wiping its data")
    for name in KEPT:
        shutil.rmtree(settings.state_path / name, ignore_errors=True)
    left = [name for name in KEPT if (settings.state_path / name).exists()]
    if left:
        raise StackError(f"{', '.join(left)} below {settings.state_path} could not be removed")
    if _docker_answers():
        subprocess.run(["docker", "compose", "down", "--volumes"], cwd=PROJECT_ROOT, capture_output=True)
    tell(f"wiped the data in {settings.state_path}")


def containers_run() -> bool:
    """Whether containers of ours are up."""
    if not _docker_answers():
        return False
    listed = subprocess.run(["docker", "compose", "ps", "--quiet"], cwd=PROJECT_ROOT, capture_output=True, text=True)
    return listed.returncode == 0 and bool(listed.stdout.strip())


def _docker_answers() -> bool:
    return (
        shutil.which("docker") is not None and subprocess.run(["docker", "info"], capture_output=True).returncode == 0
    )
