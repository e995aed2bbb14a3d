"""The cluster stack: Docker Compose on the packaged `docker-compose.yaml`, with the current folder's `.env`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from streamguard.config.names import ENV_FILE
from streamguard.config.resources import DATA, compose_file
from streamguard.stack.errors import StackError

_METRICS = ("--profile", "metrics")
"""Prometheus and Grafana too, where they were started beside the cluster: a stop without them leaves its network in use."""


def up(start_command: str, password: str) -> None:
    """Start the containers and wait until they are healthy; a new database gets the password.

    Raises StackError, which names `start_command`.
    """
    if not _daemon_answers():
        problem = "no Docker daemon answers" if shutil.which("docker") else "docker is not installed"
        raise StackError(f"{problem}; {start_command} without --docker runs everything without it")
    environment = {**os.environ, "STREAMGUARD_POSTGRES_PASSWORD": password}
    if _run("up", "--detach", "--wait", env=environment).returncode != 0:
        raise StackError("docker compose could not start the cluster; its messages are above")


def stop() -> None:
    """Stop the containers, keep their volumes."""
    _run(*_METRICS, "stop")


def wipe() -> None:
    """Remove the containers and their volumes, if a Docker daemon answers."""
    if _daemon_answers():
        _run(*_METRICS, "down", "--volumes", capture_output=True)


def is_running() -> bool:
    """Whether a container of the cluster runs."""
    if not _daemon_answers():
        return False
    listed = _run(*_METRICS, "ps", "--quiet", capture_output=True)
    return listed.returncode == 0 and bool(listed.stdout.strip())


def command(*arguments: str) -> list[str]:
    """The command line of Docker Compose."""
    # Without one named, Compose would read the .env of the project's directory, which is the package's.
    env_file = str(Path(ENV_FILE).absolute()) if Path(ENV_FILE).exists() else os.devnull
    files = ["--project-directory", str(DATA), "-f", str(compose_file()), "--env-file", env_file]
    return ["docker", "compose", *files, *arguments]


def _run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), text=True, **options)


def _daemon_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True).returncode == 0
