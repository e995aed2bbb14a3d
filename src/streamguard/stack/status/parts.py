"""The parts: processes of the supervisor with what the system knows of them, and parts elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import psutil

from streamguard.config import Settings
from streamguard.stack.health.base import Context
from streamguard.stack.parts import NAMES, application_parts, embedded_parts
from streamguard.stack.status.model import PartFigures
from streamguard.stack.supervisor import Process

EMBEDDED = "here"


def parts_of(context: Context) -> list[PartFigures]:
    """What the supervisor has, then what runs elsewhere or in containers."""
    return [*_supervised(context), *_elsewhere(context)]


def _supervised(context: Context) -> Iterator[PartFigures]:
    addresses = _addresses(context.settings)
    for process in (context.processes or {}).values():
        yield PartFigures(
            process.name,
            process.state.lower(),
            EMBEDDED,
            addresses.get(process.name, ""),
            process.pid or None,
            process.up_s if process.pid else None,
            memory_bytes(process) if process.pid else None,
        )


def _elsewhere(context: Context) -> Iterator[PartFigures]:
    """Parts that the supervisor does not have, where it runs at all: somebody else's, or those of `up --docker`."""
    settings = context.settings
    answers = {
        "postgres": (context.database is not None, f"{settings.database.host}:{settings.database.port}"),
        "broker": (context.kafka is not None, settings.kafka_bootstrap_servers),
        "ksqldb": (context.engine is not None, settings.ksqldb_url),
    }
    for name, (does, address) in answers.items():
        is_external = name in settings.external
        if is_external or (context.processes is not None and name not in context.processes):
            place = settings.external.get(name, "apart")
            yield PartFigures(NAMES[name].lower(), "answers" if does else "unavailable", place, address)


def _addresses(settings: Settings) -> dict[str, str]:
    """Where each part is reached: without user and password."""
    parts = [*embedded_parts(settings), *application_parts(settings, desk=True, generator=True)]
    addresses = {part.name: part.reached_by for part in parts if part.port is not None}
    return {**addresses, "postgres": f"{settings.database.host}:{settings.database.port}"}


def memory_bytes(process: Process) -> int | None:
    """Of a process and its children; None where the system does not say."""
    try:
        first = psutil.Process(process.pid)
        return sum(map(_memory, [first, *first.children(recursive=True)]))
    except psutil.Error:
        return None


def _memory(process: psutil.Process) -> int:
    """The proportional share where it may be read: Postgres's processes share most of theirs."""
    try:
        return int(process.memory_full_info().pss)
    except (psutil.AccessDenied, AttributeError):
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
