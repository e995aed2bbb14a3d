"""One alert: why it was raised, what is known around it, and what can be done with it."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from kafka.errors import KafkaError
from sqlalchemy import Connection, text
from starlette.responses import JSONResponse, Response

from streamguard.alerts import blacklist_topic
from streamguard.alerts.actions import NoSuchAlert, resolve_alert, show_alert
from streamguard.alerts.context import (
    account_summary,
    amounts_of,
    evidence_of,
    originals_for,
    other_alerts,
    personal_values,
    shared_with_others,
)
from streamguard.alerts.handling import assign, escalate, notes_of, snooze, write_note
from streamguard.alerts.list_changes import put, take_off
from streamguard.alerts.lists import ALLOWLIST, BLACKLIST, Entry, Kind
from streamguard.alerts.queue import rows_of
from streamguard.alerts.reasons import why
from streamguard.config import UserError
from streamguard.config.resources import sql_file
from streamguard.desk.render import link
from streamguard.desk.reveal import forms_said, hide, reveal
from streamguard.desk.site import NotFound, Visit, route
from streamguard.privacy.mode import stored_modes
from streamguard.rules.catalogue import catalogue
from streamguard.sqldeploy.script import fill_in, read
from streamguard.users import audit

VERDICTS = {"confirm": "confirmed", "dismiss": "dismissed", "duplicate": "duplicate", "reopen": "open"}
_DONE = {"confirm": "Confirmed", "dismiss": "Dismissed", "duplicate": "Marked as a duplicate:", "reopen": "Reopened"}


def panel_values(visit: Visit, connection: Connection, alert_id: str) -> dict[str, Any] | None:
    """What the panel shows of an alert; None if there is none of this id."""
    found = rows_of(connection, [alert_id])
    if not found:
        return None
    row, file, known = found[0], show_alert(connection, alert_id), catalogue()
    amounts = amounts_of(connection, row.account_id, alert_id)
    secret = [] if visit.sees_personal_data else personal_values(connection, alert_id)
    visit.desk.presence.look(visit.user, alert_id)
    return {
        "row": row,
        "file": file,
        "why": why(file.line, file.decisions, {rule.name: rule for rule in known}),
        "account": account_summary(connection, row.account_id),
        "amounts": amounts,
        "evidence": evidence_of(connection, alert_id),
        "shared": shared_with_others(connection, alert_id, row.account_id),
        "hide": lambda said: hide(said, secret),
        "stored_as": forms_said(stored_modes(connection)),
        "others": other_alerts(connection, alert_id, row.account_id),
        "notes": notes_of(connection, alert_id),
        "handling": _handling(connection, alert_id),
        "looking": visit.desk.presence.others(visit.user, alert_id),
        "queries": [(rule, rule_sql(rule.file, str(rule.query_id))) for rule in known if rule.name == row.rule],
    }


@route("GET", "/alerts/{alert_id:path}", needs="alerts.read")
def alert(visit: Visit) -> Response:
    """The alert as a page, or its panel for the script."""
    alert_id = visit.path["alert_id"]
    with visit.database() as connection:
        panel = panel_values(visit, connection, alert_id)
    if panel is None:
        raise NotFound(f"there is no alert {alert_id}")
    return visit.page("alert_panel.html" if visit.is_fragment else "alert.html", panel=panel)


@route("POST", "/alert/reveal", needs="personal_data.reveal")
def reveal_alert(visit: Visit) -> Response:
    """The panel of an alert with its devices and addresses, for this answer only."""
    [alert_id, *_] = _ids(visit)
    with visit.database() as connection:
        if not rows_of(connection, [alert_id]):
            raise NotFound(f"there is no alert {alert_id}")
        reveal(visit, connection, f"alert {alert_id}")
        panel = panel_values(visit, connection, alert_id)
    return visit.page("alert_panel.html" if visit.is_fragment else "alert.html", panel=panel)


@route("POST", "/alert/decide", needs="alerts.decide")
def decide(visit: Visit) -> Response:
    """Confirm, dismiss or reopen alerts, or name the one that they repeat (`of`), each with the reason; `seen` is the version
    of a single one that was looked at."""
    ids, verdict = _ids(visit), visit.text("verdict")
    if verdict not in VERDICTS:
        raise UserError(f"{verdict or 'nothing'} is no verdict: {', '.join(VERDICTS)}")
    reason, topic = visit.reason(), visit.desk.settings.decisions_topic
    seen = _seen(visit) if len(ids) == 1 else None
    original = visit.text("of") if verdict == "duplicate" else ""
    after = {"status": VERDICTS[verdict]} | ({"of": original} if original else {})
    before = {}
    with visit.database() as connection:
        for alert_id in ids:
            before[alert_id] = resolve_alert(
                connection,
                alert_id,
                VERDICTS[verdict],
                who=visit.user,
                why=reason,
                topic=topic,
                seen=seen,
                duplicate_of=original,
            )
            audit.note(
                connection,
                visit.user,
                "alerts.decide",
                f"alert {alert_id}",
                reason=reason,
                before={"status": before[alert_id]},
                after=after,
            )
    return _done(visit, ids, f"{_DONE[verdict]} {_these(ids)}", undo="reopen" if verdict != "reopen" else "")


@route("GET", "/alert/originals", needs="alerts.decide")
def originals(visit: Visit) -> Response:
    """Alerts of the account that the alerts (`alert_id`) may repeat, with `q` in their id or rule; a fragment."""
    ids = visit.request.query_params.getlist("alert_id")[:500]
    part = visit.query.get("q", "").strip().replace("\x00", "")[:200]
    with visit.database() as connection:
        found = originals_for(connection, ids, part)
    return visit.page("originals.html", found=found, part=part)


@route("POST", "/alert/assign", needs="alerts.decide")
def assign_alerts(visit: Visit) -> Response:
    """Give alerts to a user; to nobody where `assignee` is empty."""
    ids, assignee = _ids(visit), visit.text("assignee") or None
    with visit.database() as connection:
        for alert_id in ids:
            assign(connection, alert_id, assignee, who=visit.user)
    return _done(visit, ids, f"{_these(ids)} {f'assigned to {assignee}' if assignee else 'assigned to nobody'}")


@route("POST", "/alert/snooze", needs="alerts.decide")
def snooze_alerts(visit: Visit) -> Response:
    """Put alerts aside for `minutes`; 0 takes it back."""
    ids, minutes = _ids(visit), visit.text("minutes")
    if not minutes.isdecimal():
        raise UserError("minutes are a whole number")
    reason = visit.reason()
    with visit.database() as connection:
        for alert_id in ids:
            snooze(connection, alert_id, int(minutes), who=visit.user, why=reason)
    return _done(visit, ids, f"{_these(ids)} put aside for {minutes} min" if int(minutes) else f"{_these(ids)} back")


@route("POST", "/alert/escalate", needs="alerts.decide")
def escalate_alerts(visit: Visit) -> Response:
    """Ask a lead."""
    ids, reason = _ids(visit), visit.reason()
    with visit.database() as connection:
        for alert_id in ids:
            escalate(connection, alert_id, who=visit.user, why=reason)
    return _done(visit, ids, f"{_these(ids)} escalated")


@route("POST", "/alert/note", needs="alerts.decide")
def note_alerts(visit: Visit) -> Response:
    """Write a note."""
    ids = _ids(visit)
    with visit.database() as connection:
        for alert_id in ids:
            write_note(connection, alert_id, visit.text("note"), who=visit.user)
    return _done(visit, ids, "Note written")


@route("POST", "/alert/list", needs="lists.change")
def list_value(visit: Visit) -> Response:
    """Block or allow the account, a merchant or a device of an alert, or take that back (`undo`)."""
    [alert_id], reason = _ids(visit), visit.reason()
    name = {"block": BLACKLIST, "allow": ALLOWLIST}.get(visit.text("list"))
    kinds = [kind.value for kind in Kind]
    if name is None or visit.text("kind") not in kinds:
        raise UserError(f"block or allow one of {', '.join(kinds)}")
    kind, value = visit.text("kind"), visit.text("value")
    if not value:
        raise UserError(f"which {kind} is missing")
    undo = bool(visit.text("undo"))
    with visit.database() as connection:
        settings = visit.desk.settings
        if undo:
            change = take_off(connection, settings, name, kind, value, who=visit.user, reason=reason)
        else:
            change = put(connection, settings, name, Entry(kind, value, reason, None), who=visit.user)
        audit.note(
            connection, visit.user, "lists.change", f"{kind} {change.stored}", reason=reason, after={"list": name}
        )
    if change.record is not None:
        publish_blacklist(visit, [change.record])
    said = "taken off" if undo else "put on"
    return _done(visit, [alert_id], f"{kind} {change.stored} {said} the {name}")


def publish_blacklist(visit: Visit, records: list[tuple[str, bytes | None]]) -> None:
    """Write to the topic that the SQL rule joins with. The table has the change already. Raises UserError with the way to
    repair it where Kafka does not answer."""
    try:
        blacklist_topic.publish(visit.desk.settings, records)
    except KafkaError as error:
        raise UserError(
            f"the list has it, the topic blacklist does not ({type(error).__name__}): `streamguard blacklist sync` writes"
            " it when Kafka is back"
        ) from None


@lru_cache(maxsize=64)
def _statements(file: Path, changed: float) -> dict[str, str]:
    return {
        item.name.lower(): fill_in(item.text, item.variables, str(file)) for item in read(file) if item.kind == "query"
    }


def rule_sql(file: str, query_id: str) -> str:
    """The statement of a SQL rule as its file has it."""
    path = sql_file(file)
    return _statements(path, path.stat().st_mtime).get(query_id.lower(), "")


def _handling(connection: Connection, alert_id: str) -> list[Any]:
    statement = text(
        "SELECT done_at, done_by, action, reason, value_after FROM audit_log WHERE subject = 'alert ' || :id"
        " AND action IN ('alerts.assign', 'alerts.snooze', 'alerts.escalate') ORDER BY entry_no"
    )
    return list(connection.execute(statement, {"id": alert_id}))


def _ids(visit: Visit) -> list[str]:
    ids = [str(value) for value in visit.form.getlist("alert_id") if isinstance(value, str) and value]
    if not ids:
        raise NoSuchAlert("no alert is selected")
    if len(ids) > 500:
        raise UserError("at most 500 alerts at once")
    return ids


def _seen(visit: Visit) -> datetime | None:
    try:
        return datetime.fromisoformat(visit.text("seen")) if visit.text("seen") else None
    except ValueError:
        raise UserError("the version of the alert is not readable: reload the page") from None


def _these(ids: list[str]) -> str:
    return ids[0] if len(ids) == 1 else f"{len(ids)} alerts"


def _done(visit: Visit, ids: list[str], said: str, undo: str = "") -> Response:
    """JSON for the script, with what takes it back; else the page of the alert."""
    if visit.is_fragment:
        return JSONResponse({"said": said, "undo": undo, "alert_ids": ids})
    return visit.to(link("alerts", ids[0]) if len(ids) == 1 else "/queue")
