"""Where the processes show their figures: their ports, and the files that tell Prometheus and `streamguard status`.

Ports count from `STREAMGUARD_METRICS_PORT` in the order of `PORTS`; where the setting is 0, the system gives them. The files have
the form of file_sd: https://prometheus.io/docs/prometheus/latest/configuration/configuration/#file_sd_config
"""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from pathlib import Path

from streamguard.config import Settings

PORTS = ("broker", "ksqldb", "consumer", "desk", "generator", "monitor")
"""The processes that have a port of their own, from the setting's on."""


def targets_folder(settings: Settings) -> Path:
    """Where Prometheus finds the addresses."""
    return settings.state_path / "metrics"


def addresses(settings: Settings) -> dict[str, str]:
    """HOST:PORT of each process that shows its figures, by the name of its file; also of one that was killed."""
    return {file.stem: address for file in sorted(targets_folder(settings).glob("*.json")) if (address := read(file))}


def forget_dead(settings: Settings) -> None:
    """Remove the files of processes that were killed: nobody listens at their addresses."""
    for name, address in addresses(settings).items():
        if not _answers(address):
            with suppress(OSError):
                (targets_folder(settings) / f"{name}.json").unlink()


def port_of(settings: Settings, name: str) -> int:
    """The port that the settings give to the metrics of a process; 0 where the system gives it one."""
    if settings.metrics_port == "off" or not settings.metrics_port or name not in PORTS:
        return 0
    return settings.metrics_port + PORTS.index(name)


def member_name(instance: str) -> str:
    """The name of a consumer by that of its membership in the group: `consumer-2` for `stack-2`, else `consumer`."""
    prefix, _, number = instance.rpartition("-")
    return f"consumer-{number}" if prefix == "stack" and number.isdecimal() else "consumer"


def file_of(settings: Settings, name: str, address: str) -> Path:
    """NAME.json, or where another process of that name runs (a second generator), one that has its port beside the name."""
    folder = targets_folder(settings)
    file = folder / f"{name}.json"
    other = read(file)
    if other and other != address and _answers(other):
        return folder / f"{name}-{address.rpartition(':')[2]}.json"
    return file


def read(file: Path) -> str:
    """The address in a file; empty where there is none."""
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))[0]["targets"][0])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=1).close()
    except (OSError, ValueError, OverflowError):
        return False
    return True


def bracketed(host: str) -> str:
    """A host as it stands before a port."""
    return f"[{host}]" if ":" in host else host
