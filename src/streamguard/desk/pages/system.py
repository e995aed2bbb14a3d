"""System: what runs and how it is, what stands still, what is set, how large the database is, and the logs."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil
from dotenv import dotenv_values
from pydantic import SecretStr
from sqlalchemy import Connection, text
from starlette.responses import Response

from streamguard.alarms import store as alarms
from streamguard.alarms.states import Active
from streamguard.config import Settings, UserError, variable_of
from streamguard.config.logs import readable
from streamguard.database.rows import columns_of, select_as
from streamguard.desk.site import NotFound, Visit, route
from streamguard.rules.limits import RuleLimits
from streamguard.sqldeploy import DeployError
from streamguard.sqldeploy.state import Server
from streamguard.stack.health import Finding, findings
from streamguard.stack.supervisor import Process, Supervisor

CHECKED_EVERY_S = 15
LINES_SHOWN = 500
ALARMS_OLD_S = 120.0
_TAIL_BYTES = 256 * 1024
_HIDDEN = "hidden"


@dataclass(frozen=True)
class Running:
    """A supervised process with what it uses; bytes and a share of one core, None where it does not run."""

    process: Process
    memory: int | None
    cpu: float | None


@dataclass(frozen=True)
class Setting:
    """A setting: its variable, its value (never a secret), and what set it: environment, .env or default."""

    variable: str
    value: str
    set_by: str


@dataclass(frozen=True)
class TableSize:
    """A table with its indexes; `rows` is what the planner takes for their number, `bytes` with its partitions."""

    name: str
    rows: int
    bytes: int


_SIZES = f"""
WITH parts AS (
    SELECT c.oid, coalesce(i.inhparent, c.oid) AS owner FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
    WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
)
SELECT {columns_of(TableSize)} FROM (
    SELECT p.owner::regclass::TEXT AS name, sum(greatest(c.reltuples, 0))::BIGINT AS rows,
        sum(pg_total_relation_size(c.oid))::BIGINT AS bytes
    FROM parts p JOIN pg_class c USING (oid) GROUP BY p.owner
) AS sizes ORDER BY bytes DESC, name
"""


@route("GET", "/system", needs="system.read")
def system(visit: Visit) -> Response:
    """Everything at a glance."""
    desk = visit.desk
    checked = desk.cache.soon("health", lambda: list(findings(desk.settings)), for_s=CHECKED_EVERY_S)
    sizes = desk.cache.get("sizes of tables", lambda c: select_as(c, TableSize, text(_SIZES)), for_s=30)
    return visit.page(
        "system.html",
        running=_running(desk.settings),
        findings=_sorted(checked[0]) if checked else None,
        checked_s=checked[1] if checked else 0,
        history={name: [value for _, value in list(kept)] for name, kept in desk.pulse.history.items()},
        sizes=sizes,
        versions=desk.cache.get("versions", lambda c: _versions(desk.settings, c), for_s=60),
        alarms=_alarms(desk.settings),
        settings=list(settings_shown(desk.settings)),
        logs=sorted(_logs(desk.settings)),
    )


@route("GET", "/system/logs/{name}", needs="system.read")
def log(visit: Visit) -> Response:
    """The end of a log; the script follows it."""
    logs = _logs(visit.desk.settings)
    name = str(visit.path["name"])
    if name not in logs:
        raise NotFound(f"there is no log {name}: {', '.join(sorted(logs)) or 'the processes run elsewhere'}")
    lines = tail(logs[name])
    template = "log_lines.html" if visit.is_fragment else "log.html"
    return visit.page(template, name=name, lines=lines, logs=sorted(logs), most=LINES_SHOWN)


def tail(file: Path, most: int = LINES_SHOWN) -> list[str]:
    """The last lines of a file; of a very long line its end."""
    try:
        with file.open("rb") as opened:
            size = opened.seek(0, os.SEEK_END)
            opened.seek(max(0, size - _TAIL_BYTES))
            lines = opened.read().decode("utf-8", "replace").splitlines()
    except OSError as error:
        raise UserError(f"the log {file.name} cannot be read: {error.strerror}") from None
    kept = (lines[1:] if size > _TAIL_BYTES else lines)[-most:]
    return [part for line in kept for part in readable(line).split("\n")][-most:]


def settings_shown(settings: Settings) -> Iterator[Setting]:
    """Every setting, with the limits of the Python rules; secrets and passwords in addresses are hidden."""
    given = {name.upper(): "environment" for name in os.environ}
    from_file = {name.upper(): ".env" for name in dotenv_values(".env")}
    secret = settings.database.password
    for kind, values in ((Settings, settings), (RuleLimits, RuleLimits())):
        for field in kind.model_fields:
            value = getattr(values, field)
            variable = variable_of(field) if kind is Settings else f"STREAMGUARD_RULES_{field.upper()}"
            set_by = {**from_file, **given}.get(variable, "default")
            yield Setting(variable, _shown(field, value, secret), set_by)


def _shown(field: str, value: object, secret: str) -> str:
    if isinstance(value, SecretStr) or "password" in field:
        return _HIDDEN if value else "not set"
    shown = str(value)
    return shown.replace(f":{secret}@", f":{_HIDDEN}@") if secret and field == "database_url" else shown


def _alarms(settings: Settings) -> list[Active] | None:
    """The alarms that fire or are about to; None where nobody has evaluated lately."""
    kept = alarms.read(settings)
    return list(kept.states.all) if time.time() - kept.at_s < ALARMS_OLD_S else None


def _running(settings: Settings) -> list[Running] | None:
    """The processes of the embedded stack; None where no supervisor answers."""
    supervisor = Supervisor(settings)
    if not supervisor.alive():
        return None
    return [Running(process, *_uses(process.pid)) for process in supervisor.processes().values()]


def _uses(pid: int) -> tuple[int | None, float | None]:
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)] if pid else []
        times = [member.cpu_times() for member in family]
        alive_s = max(time.time() - process.create_time(), 1.0)
        memory = sum(member.memory_info().rss for member in family)
        return memory, sum(t.user + t.system for t in times) / alive_s
    except psutil.Error:
        return None, None


def _versions(settings: Settings, connection: Connection) -> list[tuple[str, str]]:
    postgres = str(connection.execute(text("SHOW server_version")).scalar())
    found = [("streamguard", version("streamguard")), ("Python", platform.python_version()), ("Postgres", postgres)]
    try:
        found.append(("ksqlDB", str(Server(settings.ksqldb, timeout_s=2).info().get("version"))))
    except DeployError:
        found.append(("ksqlDB", "does not answer"))
    return [*found, *((name, version(name)) for name in ("kafka-python", "SQLAlchemy", "pydantic", "starlette"))]


def _logs(settings: Settings) -> dict[str, Path]:
    return {file.stem: file for file in (settings.state_path / "logs").glob("*.log")}


def _sorted(found: list[Finding]) -> list[Finding]:
    return sorted(found, key=lambda finding: not finding.serious)
