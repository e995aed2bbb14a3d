"""Who listens where a part is to listen."""

from __future__ import annotations

from collections.abc import Iterator

import psutil

from streamguard.stack.doctor.base import Finding, Surroundings, check, halves
from streamguard.stack.parts import Part, application_parts, embedded_parts
from streamguard.stack.ports import conflicts


@check("Ports")
def taken(around: Surroundings) -> Iterator[Finding]:
    """Ports of parts that do not run, and two parts with one port."""
    parts = [
        *embedded_parts(around.settings),
        *application_parts(around.settings, desk=True, generator=False),
    ]
    running = {name for name, process in (around.parts.processes or {}).items() if process.pid} | _apart(around)
    for sentence in conflicts(parts):
        if "cannot both have" in sentence:
            yield halves(sentence)
    for part in parts:
        if part.name in running or part.port is None:
            continue
        for sentence in conflicts([part]):
            found = halves(sentence)
            who = _listener(part)
            what = found.what.replace("is in use", f"is in use by {who}") if who else found.what
            yield Finding(what, found.cure)


def _apart(around: Surroundings) -> set[str]:
    """Parts that run beside the supervisor, in the containers of `up --docker`."""
    found = {"postgres": around.parts.database, "broker": around.parts.kafka, "ksqldb": around.parts.engine}
    known = around.parts.processes
    return set() if known is None else {name for name, part in found.items() if part is not None and name not in known}


def _listener(part: Part) -> str | None:
    """The process that listens on the port of a part, where the system tells us."""
    try:
        found = [one for one in psutil.net_connections("inet") if one.status == psutil.CONN_LISTEN]
        pid = next((one.pid for one in found if one.laddr and one.laddr.port == part.port and one.pid), None)
        return None if pid is None else f"{psutil.Process(pid).name()} (process {pid})"
    except psutil.Error:
        return None
