"""Rules: the catalogue with its figures, and one rule with its SQL, its limits, its history and its alerts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from sqlalchemy import Connection
from starlette.responses import Response

from streamguard.alerts.queue import QueueFilter, QueueRow, list_queue
from streamguard.backtest.sides import MODES, running_statements
from streamguard.backtest.statements import sql_of
from streamguard.config import UserError
from streamguard.config.resources import sql_file
from streamguard.consumer.limit_changes import limit_changes
from streamguard.desk.difference import Piece, lines_that_differ, words_that_differ
from streamguard.desk.jobs import Jobs
from streamguard.desk.site import Asker, NotFound, Visit, route
from streamguard.rules import modes
from streamguard.rules.base import REGISTRY
from streamguard.rules.catalogue import PYTHON, SQL, Rule, catalogue
from streamguard.rules.decide import ACTIVE
from streamguard.rules.figures import Day, Figures, days_of, figures_of
from streamguard.rules.limits import RuleLimits
from streamguard.rules.replacements import Version, versions_of
from streamguard.sqldeploy import variables_of
from streamguard.sqldeploy.compare import same
from streamguard.sqldeploy.journal import open_shadow
from streamguard.sqldeploy.script import Item, read, text_of, variables_in
from streamguard.sqldeploy.state import Server
from streamguard.sqldeploy.switch import follow_mode, store_mode
from streamguard.users import audit

DAYS = 30
ALERTS_SHOWN = 8
FIGURES_EVERY_S = 30
RUNNING_EVERY_S = 10
ALERTS_EVERY_S = 3
_SERVER_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Limit:
    """A limit of a rule with the value that its file, or the settings, have."""

    name: str
    value: str


@dataclass(frozen=True)
class Replaced:
    """A version with the lines that it has changed."""

    version: Version
    lines: list[Piece]


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
    name, cache = visit.path["name"], visit.desk.cache
    figures = _figures(visit)
    with visit.database() as connection:
        found = _named(connection, name)
        first = found[0]
        return visit.page(
            "rule.html",
            rule=first,
            queries=[item.text for item in _items(visit, found)],
            others=other_than_file(visit, found),
            about=(REGISTRY[name].judge.__doc__ or "") if first.kind == PYTHON else "",
            mode=modes.modes_of(connection).get(name, ACTIVE),
            modes=MODES,
            counts=None if figures is None else figures.get(name, Figures(name)),
            limits=limits_of(visit, found),
            text=text_of(sql_file(first.file)) if first.kind == SQL else "",
            changes=list(reversed(modes.changes_of(connection, name))),
            limit_changes=list(reversed(limit_changes(connection, frozenset(first.limits))))
            if first.kind == PYTHON
            else [],
            versions=[Replaced(v, lines_that_differ(v.sql_before, v.sql_after)) for v in versions_of(connection, name)],
            days=_filled(cache.get(f"days of {name}", lambda c: days_of(c, name, DAYS), for_s=FIGURES_EVERY_S)),
            shown=ALERTS_SHOWN,
            alerts=cache.get(f"open alerts of {name}", lambda c: _worst(c, name), for_s=ALERTS_EVERY_S),
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


def limits_of(asker: Asker, found: list[Rule]) -> list[Limit]:
    """The limits of a rule with their present values."""
    names = list(dict.fromkeys(name for rule in found for name in rule.limits))
    if found[0].kind == PYTHON:
        limits = RuleLimits()
        return [Limit(name, str(getattr(limits, name))) for name in names]
    given = variables_of(asker.desk.settings)
    files = dict.fromkeys(rule.file for rule in found)
    known = {
        name: value for file in files for item in read(sql_file(file), given) for name, value in item.variables.items()
    }
    return [Limit(name, known[name]) for name in names if name in known]


def other_than_file(asker: Asker, found: list[Rule]) -> list[tuple[str, list[Piece]]]:
    """What the server runs otherwise than the files of a SQL rule say: names, and the words that differ (`-` the file's).

    Nothing while that is not known, and of a query that does not run.
    """
    wanted = {(sql := sql_of(item)).key: sql for item in _items(asker, found)}

    def ask() -> list[tuple[str, list[Piece]]]:
        try:
            running = running_statements(Server(asker.desk.settings.ksqldb, timeout_s=_SERVER_TIMEOUT_S), wanted)
        except UserError:
            return []
        pieces = [(running[key].name, words_that_differ(wanted[key].formatted, running[key].formatted)) for key in running
                  if not same(wanted[key].statement, running[key].text)]  # fmt: skip
        return [(name, words) for name, words in pieces if words]

    known = asker.desk.cache.soon(f"what runs of {found[0].name}", ask, for_s=RUNNING_EVERY_S) if wanted else None
    return known[0] if known else []


def _items(asker: Asker, found: list[Rule]) -> list[Item]:
    """The statements that a SQL rule consists of, in the order of its files: its queries, and what has its limits."""
    given = variables_of(asker.desk.settings)
    names = {str(rule.query_id).upper() for rule in found if rule.kind == SQL}
    limits = {limit for rule in found for limit in rule.limits}
    files = dict.fromkeys(rule.file for rule in found if rule.kind == SQL)
    items = [item for file in files for item in read(sql_file(file), given)]
    return [item for item in items if item.name in names or limits & set(variables_in(item.text))]


def _worst(connection: Connection, name: str) -> list[QueueRow]:
    return list_queue(connection, QueueFilter(rule=name, snoozed="1"), size=ALERTS_SHOWN)


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
    return [by_day.get(day, Day(day, 0, 0, 0, 0)) for day in days]
