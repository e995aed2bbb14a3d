"""Rules: the catalogue with its figures, and one rule with its SQL, its limits, its history and its alerts."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from sqlalchemy import Connection
from starlette.responses import Response

from streamguard.alerts.queue import QueueFilter, list_queue
from streamguard.backtest.sides import MODES
from streamguard.config import UserError
from streamguard.config.resources import sql_file
from streamguard.desk.jobs import Jobs
from streamguard.desk.site import NotFound, Visit, route
from streamguard.rules import modes
from streamguard.rules.base import REGISTRY
from streamguard.rules.catalogue import PYTHON, SQL, Rule, catalogue
from streamguard.rules.decide import ACTIVE
from streamguard.rules.figures import Day, Figures, days_of, figures_of
from streamguard.rules.limits import RuleLimits
from streamguard.rules.replacements import Version, versions_of
from streamguard.sqldeploy import variables_of
from streamguard.sqldeploy.journal import open_shadow
from streamguard.sqldeploy.script import read, text_of
from streamguard.sqldeploy.switch import follow_mode, store_mode
from streamguard.users import audit

DAYS = 30
ALERTS_SHOWN = 8
FIGURES_EVERY_S = 30


@dataclass(frozen=True)
class Limit:
    """A limit of a rule with the value that its file, or the settings, have."""

    name: str
    value: str


@dataclass(frozen=True)
class Replaced:
    """A version with the lines of its difference: each a mark (`+`, `-`, `@` or a space) and a text."""

    version: Version
    lines: list[tuple[str, str]]


@route("GET", "/rules", needs="rules.read")
def rules(visit: Visit) -> Response:
    """The catalogue."""
    figures = _figures(visit)
    with visit.database() as connection:
        mode_of = modes.modes_of(connection)
        shadow = open_shadow(connection)
    lines = [(rule, mode_of.get(rule.name, ACTIVE), (figures or {}).get(rule.name)) for rule in catalogue()]
    return visit.page(
        "rules.html",
        groups=[("SQL rules", [line for line in lines if line[0].kind == SQL]),
                ("Python rules", [line for line in lines if line[0].kind == PYTHON])],
        counted=figures is not None,
        shadow=shadow,
        jobs=[job for job in Jobs(visit.desk.settings).all() if job.is_running],
        strangers=sorted((figures or {}).keys() - {rule.name for rule, _, _ in lines}),
    )  # fmt: skip


@route("GET", "/rules/{name}", needs="rules.read")
def rule(visit: Visit) -> Response:
    """One rule; of two queries with one name both."""
    name = visit.path["name"]
    figures = _figures(visit)
    with visit.database() as connection:
        found = _named(connection, name)
        first = found[0]
        return visit.page(
            "rule.html",
            rule=first,
            queries=_written(found),
            about=(REGISTRY[name].judge.__doc__ or "") if first.kind == PYTHON else "",
            mode=modes.modes_of(connection).get(name, ACTIVE),
            modes=MODES,
            counts=None if figures is None else figures.get(name, Figures(name)),
            limits=limits_of(visit, found),
            text=text_of(sql_file(first.file)) if first.kind == SQL else "",
            changes=list(reversed(modes.changes_of(connection, name))),
            versions=[Replaced(v, difference(v.sql_before, v.sql_after)) for v in versions_of(connection, name)],
            days=_filled(days_of(connection, name, DAYS)),
            shown=ALERTS_SHOWN,
            alerts=list_queue(connection, QueueFilter(rule=name, snoozed="1"), size=ALERTS_SHOWN),
            jobs=[job for job in Jobs(visit.desk.settings).all() if job.asked.rule == name][:10],
        )


@route("POST", "/rules/{name}/mode", needs="rules.change")
def set_mode(visit: Visit) -> Response:
    """Switch a rule; the query of a SQL rule follows at once."""
    name, mode, reason = visit.path["name"], visit.text("mode"), visit.reason()
    if mode not in MODES:
        raise UserError(f"{mode or 'nothing'} is no mode: {', '.join(MODES)}")
    with visit.database() as connection:
        _named(connection, name)
        before, to_follow = store_mode(connection, name, mode, who=visit.user, why=reason)
        sides = {"before": {"mode": before}, "after": {"mode": mode}}
        audit.note(connection, visit.user, "rules.mode", f"rule {name}", reason=reason, **sides)
    if to_follow:
        followed = follow_mode(visit.desk.settings, visit.database, to_follow)
        if followed.missing:
            raise UserError(
                f"{name} is {mode} now, and the server does not run it: `streamguard deploy {followed.missing}` sends it"
            )
    return visit.to(f"/rules/{name}")


def limits_of(visit: Visit, found: list[Rule]) -> list[Limit]:
    """The limits of a rule with their present values."""
    names = list(dict.fromkeys(name for rule in found for name in rule.limits))
    if found[0].kind == PYTHON:
        limits = RuleLimits()
        return [Limit(name, str(getattr(limits, name))) for name in names]
    given = variables_of(visit.desk.settings)
    files = dict.fromkeys(rule.file for rule in found)
    known = {
        name: value for file in files for item in read(sql_file(file), given) for name, value in item.variables.items()
    }
    return [Limit(name, known[name]) for name in names if name in known]


def _written(found: list[Rule]) -> list[str]:
    """The queries of a rule as their files have them, with the variables of their limits."""
    texts = {
        item.name.lower(): item.text
        for file in {r.file for r in found if r.kind == SQL}
        for item in read(sql_file(file))
    }
    return [texts.get(str(rule.query_id).lower(), "") for rule in found if rule.kind == SQL]


def _named(connection: Connection, name: str) -> list[Rule]:
    try:
        return modes.rules_named(connection, name)
    except modes.NoSuchRule as error:
        raise NotFound(str(error)) from None


def _figures(visit: Visit) -> dict[str, Figures] | None:
    """The figures of all rules; None while they are counted for the first time."""

    def count() -> dict[str, Figures]:
        with visit.database() as connection:
            return figures_of(connection)

    found = visit.desk.cache.soon("figures of the rules", count, for_s=FIGURES_EVERY_S)
    return None if found is None else found[0]


def _filled(found: list[Day]) -> list[Day]:
    """Every day of the last DAYS, those without an alert too."""
    by_day = {day.day: day for day in found}
    today = datetime.now(timezone.utc).date()
    days = [today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    return [by_day.get(day, Day(day, 0, 0, 0)) for day in days]


def difference(before: str | None, after: str, around: int = 3) -> list[tuple[str, str]]:
    """The lines that differ, and `around` them; each a mark (`+`, `-` or a space) and a text."""
    lines = difflib.unified_diff((before or "").splitlines(), after.splitlines(), lineterm="", n=around)
    return [(line[0], line[1:]) for line in lines if not line.startswith(("---", "+++"))]
