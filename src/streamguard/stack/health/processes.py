"""The processes of the embedded stack, and the disk that they write to."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from streamguard.metrics.targets import PORTS, addresses, port_of
from streamguard.stack import leftovers
from streamguard.stack.health.base import Context, Finding, check
from streamguard.stack.logs import last_log_line
from streamguard.stack.state import LEAST_FREE_BYTES

_RESTARTS = 3
_RESTARTS_WITHIN = timedelta(minutes=5)
_EXIT = re.compile(r"^(\S+ \S+),\d+ \w+ exited: (\S+) ", re.MULTILINE)
"""A line of supervisord's log for a process that ended by itself: local time, level, name."""
_LOG_TAIL_BYTES = 65_536


@check("Nothing runs")
def nothing_runs(context: Context) -> Iterator[Finding]:
    """No supervisor answers, and no part is left."""
    if context.processes is None and not leftovers.find(context.settings):
        yield Finding("no process of the embedded stack runs: `streamguard up` starts it")


@check("A part runs without its supervisor")
def left_running(context: Context) -> Iterator[Finding]:
    """The supervisor was killed or is frozen, and a part lives on."""
    if context.processes is None:
        for leftover in leftovers.find(context.settings):
            yield Finding(f"{leftover} runs without a supervisor that answers: `streamguard down` ends it")


@check("A process does not run")
def not_running(context: Context) -> Iterator[Finding]:
    """A process that should run was stopped, has ended, or cannot start."""
    logs = context.settings.state_path / "logs"
    for process in (context.processes or {}).values():
        if process.state not in ("RUNNING", "STARTING"):
            why = process.error or last_log_line(logs, process.name)
            yield Finding(f"{process.name} is {process.state.lower()}: {why}; `streamguard up` starts it again")


@check("A process restarts again and again")
def restarting(context: Context) -> Iterator[Finding]:
    """A process has ended several times within minutes."""
    since = datetime.now() - _RESTARTS_WITHIN
    for name, count in _exits(context, since).items():
        if count >= _RESTARTS and name in (context.processes or {}):
            minutes = _RESTARTS_WITHIN // timedelta(minutes=1)
            last = last_log_line(context.settings.state_path / "logs", name)
            yield Finding(f"{name} has ended {count} times in the last {minutes} minutes and was started again: {last}")


def _exits(context: Context, since: datetime) -> Counter[str]:
    """How often each process has ended by itself since then, from supervisord's log."""
    try:
        with (context.settings.state_path / "logs" / "supervisord.log").open("rb") as log:
            log.seek(max(0, log.seek(0, 2) - _LOG_TAIL_BYTES))
            text = log.read().decode("utf-8", "replace")
    except OSError:
        return Counter()
    times = [(datetime.fromisoformat(at), name) for at, name in _EXIT.findall(text)]
    return Counter(name for at, name in times if since <= at <= datetime.now())


@check("Metrics are elsewhere, or missing")
def metrics(context: Context) -> Iterator[Finding]:
    """A process found its port for metrics taken, or shows none. It works all the same."""
    if context.settings.metrics_port == "off":
        return
    found = addresses(context.settings)
    for process in (context.processes or {}).values():
        port, address = port_of(context.settings, process.name), found.get(process.name, "")
        if process.state != "RUNNING" or process.up_s < context.limit_s or process.name.partition("-")[0] not in PORTS:
            continue
        if not address:
            yield Finding(f"{process.name} shows no metrics: `streamguard logs {process.name}` says why", serious=False)
        elif port and not address.endswith(f":{port}"):
            yield Finding(
                f"the metrics of {process.name} are at {address}: port {port} was taken when it started", serious=False
            )


@check("The disk is nearly full")
def disk(context: Context) -> Iterator[Finding]:
    """Less is free than a start asks for."""
    state = context.settings.state_path
    if state.exists() and (free := shutil.disk_usage(state).free) < LEAST_FREE_BYTES:
        yield Finding(
            f"only {free // 2**20} MiB are free for {state}: make room before the broker and Postgres stop accepting writes"
        )
