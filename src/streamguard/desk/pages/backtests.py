"""Back-tests: ask for one, watch it, read what would change, and deploy it or run it beside what runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson
from starlette.responses import Response

from streamguard.backtest.accept import check_ended, sql_of_change
from streamguard.backtest.errors import BacktestError
from streamguard.backtest.sides import KINDS, A, B
from streamguard.backtest.spec import Spec, load
from streamguard.backtest.store import Kept, kept, listed
from streamguard.config import UserError
from streamguard.config.resources import sql_file
from streamguard.desk.difference import Piece, words_that_differ
from streamguard.desk.jobs import BACKTEST, COMPARE, DEPLOY, DROP, PROMOTE, SHADOW, Asked, Job, Jobs, options
from streamguard.desk.pages.rules import limits_of, other_than_file
from streamguard.desk.site import Asker, NotFound, Visit, route
from streamguard.rules import modes
from streamguard.rules.catalogue import SQL
from streamguard.sqldeploy.journal import open_shadow
from streamguard.sqldeploy.script import text_of
from streamguard.users import audit
from streamguard.users.accounts import users
from streamguard.users.roles import ANALYST, LEAD

ALERTS_SHOWN = 100
SHADOW_PAGE = "/shadow"


@route("GET", "/backtests", needs="rules.read")
def backtests(visit: Visit) -> Response:
    """Those that were kept, and the jobs that run or have failed."""
    with visit.database() as connection:
        found = list(reversed(listed(connection)))
    jobs = [job for job in Jobs(visit.desk.settings).all() if job.backtest_no is None]
    return visit.page("backtests.html", found=found, jobs=jobs[:20])


@route("POST", "/rules/{name}/backtest", needs="rules.change")
def start(visit: Visit) -> Response:
    """Run a back-test of a rule with changed limits, changed SQL, or another mode."""
    begin, end = visit.text("from"), visit.text("to")
    limits = {name.removeprefix("limit."): visit.text(name) for name in visit.form if name.startswith("limit.")}
    number = begin_backtest(
        visit, visit.path["name"], limits=limits, sql=visit.text("sql"), mode=visit.text("mode"), begin=begin, end=end
    )
    return visit.to(f"/jobs/{number}")


def begin_backtest(
    asker: Asker, name: str, *, limits: Mapping[str, str], sql: str, mode: str, begin: str, end: str
) -> int:
    """Start a back-test of a rule with what differs from what runs; the number of its job. Empty texts are as it runs, and
    no limit of time. Raises UserError."""
    with asker.database() as connection:
        found = modes.rules_named(connection, name)
    # Where another version than that of the file runs, a value of the file may be a change as well.
    runs_other = bool(other_than_file(asker, found))
    known = {limit.name: limit.value for limit in limits_of(asker, found)}
    if unknown := sorted(limits.keys() - known.keys()):
        raise UserError(f"{unknown[0][:60]} is no limit of {name}: {', '.join(known) or 'it has none'}")
    changed = [
        f"{limit}={limits[limit]}"
        for limit, value in known.items()
        if limits.get(limit) and (limits[limit] != value or runs_other)
    ]
    files: dict[str, str] = {}
    arguments = ["backtest", "--progress-lines", f"--by={asker.user}"]
    if found[0].kind == SQL:
        text = sql.replace("\r\n", "\n")
        if text and text.strip() != text_of(sql_file(found[0].file)).strip():
            files[found[0].file] = text + "\n"
            arguments.append(f"--sql={{folder}}/{found[0].file}")
        arguments += options("define", changed)
    else:
        arguments += options("limit", changed)
    if mode:
        arguments.append(f"--mode={name}={mode}")
    if not (files or changed or mode):
        raise UserError("nothing differs from what runs: change a limit, the SQL or the mode first")
    arguments += [f"--{option}={value}" for option, value in (("from", begin), ("to", end)) if value]
    what = ", ".join([*changed, *(["changed SQL"] if files else []), *([f"as {mode}"] if mode else [])])
    asked = Asked(BACKTEST, arguments, asker.user, f"{name}: {what}"[:200], rule=name)
    return launch(asker, asked, "rules.backtest", f"rule {name}", files)


@route("GET", "/jobs/{number:int}", needs="rules.read")
def job(visit: Visit) -> Response:
    """A job while it runs, and what came of it."""
    found = _job(visit)
    if found.backtest_no is not None and not visit.is_fragment:
        return visit.to(f"/backtests/{found.backtest_no}")
    if found.state == "done" and found.asked.kind == COMPARE and not visit.is_fragment:
        return visit.to(SHADOW_PAGE)
    return visit.page("job_state.html" if visit.is_fragment else "job.html", job=found)


@route("POST", "/jobs/{number:int}/stop", needs="rules.change")
def stop(visit: Visit) -> Response:
    """End a job."""
    found, reason = _job(visit), visit.reason()
    stop_job(visit, found, reason)
    return visit.to(f"/jobs/{found.number}")


def stop_job(asker: Asker, found: Job, reason: str) -> None:
    """End a job, with its row in the audit log."""
    with asker.database() as connection:
        audit.note(connection, asker.user, "jobs.stop", f"{found.asked.kind} {found.asked.title}", reason=reason)
    Jobs(asker.desk.settings).stop(found.number)


@route("GET", "/backtests/{number:int}", needs="rules.read")
def backtest(visit: Visit) -> Response:
    """What would change."""
    found = _kept(visit)
    result, spec = orjson.loads(found.result), load(found.inputs)
    return visit.page(
        "backtest.html",
        found=found,
        result=result,
        kinds=KINDS,
        rows=_rows(result),
        amounts=_amounts(result),
        load=_load(visit, result),
        days=_days(result),
        alerts=_alerts(result),
        most=ALERTS_SHOWN,
        resolved=spec.resolved,
        changed=_changed_sql(spec),
        limits=_changed(spec.a.limits, spec.b.limits),
        modes=_changed(spec.a.modes, spec.b.modes),
        refusal=_why_not(spec, found),
    )


@route("GET", "/backtests/{number:int}/alerts/{alert_id:path}", needs="rules.read")
def backtest_alert(visit: Visit) -> Response:
    """An alert on which the sides differ, with its transactions on both."""
    found, alert_id = _kept(visit), visit.path["alert_id"]
    result = orjson.loads(found.result)
    for kind in KINDS:
        for alert in result["alerts"][kind]:
            if alert["alert_id"] == alert_id:
                return visit.page("backtest_alert.html", found=found, kind=kind, alert=alert, sides=(A, B))
    raise NotFound(f"{alert_id} is no alert on which A and B of back-test {found.backtest_no} differ")


@route("POST", "/backtests/{number:int}/accept", needs="rules.change")
def accept(visit: Visit) -> Response:
    """Deploy B in the place of what runs, from now on; the statements are those that were back-tested."""
    return _deploy(visit, DEPLOY, ["--replace", "--from=now"])


@route("POST", "/backtests/{number:int}/shadow", needs="rules.change")
def run_in_shadow(visit: Visit) -> Response:
    """Run B beside what runs, without effect."""
    return _deploy(visit, SHADOW, ["--shadow"])


@route("GET", SHADOW_PAGE, needs="rules.read")
def shadow(visit: Visit) -> Response:
    """The shadow that runs, with its newest comparison."""
    with visit.database() as connection:
        found = open_shadow(connection)
    jobs = Jobs(visit.desk.settings).all()
    compared = next(
        (j for j in jobs if j.asked.kind == COMPARE and (found is None or j.started_at > found.made_at)), None
    )
    running = [j for j in jobs if j.is_running]
    return visit.page("shadow.html", shadow=found, compared=compared, difference=_difference(compared), running=running)


@route("POST", "/shadow/compare", needs="rules.change")
def compare(visit: Visit) -> Response:
    """Compare the shadow with what runs."""
    asked = Asked(COMPARE, ["rules", "compare", "--json"], visit.user, "the shadow with what runs")
    return _run(visit, asked, "rules.compare", "shadow")


@route("POST", "/shadow/promote", needs="rules.change")
def promote(visit: Visit) -> Response:
    """Make the shadow what runs."""
    reason = visit.reason()
    asked = Asked(
        PROMOTE, ["rules", "promote", f"--reason={reason}", f"--by={visit.user}"], visit.user, "the shadow", reason
    )
    return _run(visit, asked, "rules.promote", "shadow")


@route("POST", "/shadow/drop", needs="rules.change")
def drop(visit: Visit) -> Response:
    """Remove the shadow."""
    reason = visit.reason()
    asked = Asked(
        DROP, ["rules", "drop-shadow", f"--reason={reason}", f"--by={visit.user}"], visit.user, "the shadow", reason
    )
    return _run(visit, asked, "rules.drop", "shadow")


def _deploy(visit: Visit, kind: str, how: list[str]) -> Response:
    found, reason = _kept(visit), visit.reason()
    spec = load(found.inputs)
    check_ended(found.result)
    sql, file = sql_of_change(spec), f"backtest-{found.backtest_no}.sql"
    why = f"back-test {found.backtest_no}: {reason}"
    arguments = ["deploy", f"{{folder}}/{file}", *how, f"--reason={why}", f"--by={visit.user}"]
    asked = Asked(kind, arguments, visit.user, f"back-test {found.backtest_no}", reason)
    return _run(visit, asked, f"rules.{kind}", f"back-test {found.backtest_no}", {file: sql})


def _run(visit: Visit, asked: Asked, action: str, subject: str, files: Mapping[str, str] | None = None) -> Response:
    return visit.to(f"/jobs/{launch(visit, asked, action, subject, files)}")


def launch(asker: Asker, asked: Asked, action: str, subject: str, files: Mapping[str, str] | None = None) -> int:
    """Start a job, with its row in the audit log, neither without the other; its number. Raises UserError."""
    asked.check()
    with asker.database() as connection:
        after = {"title": asked.title}
        audit.note(connection, asker.user, action, subject, reason=asked.reason or None, after=after)
        return Jobs(asker.desk.settings).start(asked, files)


def _job(visit: Visit) -> Job:
    found = Jobs(visit.desk.settings).find(visit.path["number"])
    if found is None:
        raise NotFound(f"there is no job {visit.path['number']}: the newest 200 are kept")
    return found


def _kept(visit: Visit) -> Kept:
    with visit.database() as connection:
        try:
            return kept(connection, visit.path["number"])
        except BacktestError as error:
            raise NotFound(str(error)) from None


def _changed_sql(spec: Spec) -> list[tuple[str, list[Piece]]]:
    """The statements of the change, by key, with the words that differ from what runs; the whole text of a new one."""
    before = {sql.key: sql.formatted for sql in spec.a.statements}
    return [
        (sql.key, words_that_differ(before[sql.key], sql.formatted) if sql.key in before else [("+", sql.text)])
        for sql in spec.b.statements
        if sql.key in spec.change
    ]


def _why_not(spec: Spec, found: Kept) -> str:
    """Why it cannot be deployed; empty where it can."""
    try:
        check_ended(found.result)
        sql_of_change(spec)
    except BacktestError as error:
        return str(error)
    return ""


def _rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is compared: a name, both values and their format; all rules together, then each that has alerts."""
    sides = result["sides"]
    rows = [
        {"name": name, "form": form, "a": sides[A][field], "b": sides[B][field], "good": good}
        for name, field, form, good in (
            ("flagged alerts, all rules", "flagged", "number", 0),
            ("precision", "precision", "share", 1),
            ("share of fraud found", "recall", "share", 1),
        )
    ]
    return [{**row, "delta": None if None in (row["a"], row["b"]) else row["b"] - row["a"]} for row in rows]


def _amounts(result: Mapping[str, Any]) -> list[tuple[str, Decimal, Decimal]]:
    """The amount of fraud that A and B find, by currency; nothing where no fraud is labelled."""
    found = [result["sides"][side].get("fraud_amounts", {}) for side in (A, B)]
    return [(name, *(Decimal(of.get(name, 0)) for of in found)) for name in sorted(found[0].keys() | found[1].keys())]


@dataclass(frozen=True)
class Load:
    """Flagged alerts for each of `analysts` on each of `days`, which is at least one."""

    analysts: int
    days: float
    a: float
    b: float


def _load(visit: Visit, result: Mapping[str, Any]) -> Load:
    """How many alerts an analyst would have a day; as many analysts as asked for, or as may decide on alerts by their role."""
    asked = visit.query.get("analysts", "")
    analysts = int(asked) if asked.isdecimal() and int(asked[:5]) > 0 else 0
    if not analysts:
        with visit.database() as connection:
            people = [user for user in users(connection) if user.disabled_at is None and user.role in (ANALYST, LEAD)]
        analysts = max(len(people), 1)
    days = max((_end_ms(result) - _begin_ms(result)) / 86_400_000, 1.0)
    flagged = (result["sides"][side]["flagged"] / days / analysts for side in (A, B))
    return Load(analysts, days, *flagged)


def _begin_ms(result: Mapping[str, Any]) -> int:
    return max(ms for ms in (result["range"]["from"], result["read"]["first"], 0) if ms is not None)


def _end_ms(result: Mapping[str, Any]) -> int:
    found = [ms for ms in (result["range"]["to"], result["read"]["last"]) if ms is not None]
    return min(found, default=0)


def _days(result: Mapping[str, Any]) -> list[tuple[str, list[tuple[float, str]]]]:
    days = sorted(result["days"].items())[-31:]
    return [(day[5:], [(counts[A], "accent"), (counts[B], "device")]) for day, counts in days]


def _alerts(result: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(kind, alert) for kind in KINDS for alert in result["alerts"][kind]][:ALERTS_SHOWN]


def _changed(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(name, a.get(name), b.get(name)) for name in sorted(a.keys() | b.keys()) if a.get(name) != b.get(name)]


def _difference(compared: Job | None) -> dict[str, Any] | None:
    """What `rules compare --json` has printed; None where it has not ended well."""
    if compared is None or compared.state != "done":
        return None
    text = "\n".join(compared.lines)
    try:
        found: dict[str, Any] = orjson.loads(text[text.index("{\n") : text.rindex("}") + 1])
    except (ValueError, orjson.JSONDecodeError):
        return None
    return found
