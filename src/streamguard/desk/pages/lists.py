"""The blocklist and the allowlist: what is on them, who put it there and why, how often it has matched."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from starlette.datastructures import UploadFile
from starlette.responses import Response

from streamguard.alerts import list_csv
from streamguard.alerts.list_changes import Change, put, take_off
from streamguard.alerts.list_entries import PAGE, count_entries, history_of, matches, page_of_entries
from streamguard.alerts.lists import ALLOWLIST, BLACKLIST, Entry, Kind
from streamguard.config import UserError
from streamguard.desk.pages.alert import publish_blacklist
from streamguard.desk.pages.queue import page_of
from streamguard.desk.reveal import HIDDEN, PERSONAL
from streamguard.desk.site import NotFound, Visit, route
from streamguard.users import audit

TITLES = {BLACKLIST: "Blocklist", ALLOWLIST: "Allowlist"}
KINDS = [kind.value for kind in Kind]
MOST_EXPORTED = 1_000_000
COUNTED_EVERY_S = 60


@route("GET", "/lists", needs="lists.read")
def lists(visit: Visit) -> Response:
    """The blocklist first."""
    return visit.to(f"/lists/{BLACKLIST}")


@route("GET", "/lists/{name}", needs="lists.read")
def entries(visit: Visit) -> Response:
    """A page of one list; `kind` and `value` fill the form in."""
    return _page(visit, _name(visit))


@route("GET", "/lists/{name}/csv", needs="lists.read")
def export(visit: Visit) -> Response:
    """The whole list, or what the filters leave of it."""
    name, kind, part = _name(visit), *_filters(visit)
    with visit.database() as connection:
        found = page_of_entries(connection, name, kind=kind, part=part, size=MOST_EXPORTED)
    if not visit.may("personal_data.read"):
        found = [replace(entry, value=HIDDEN) if entry.kind in PERSONAL else entry for entry in found]
    headers = {"content-disposition": f'attachment; filename="{TITLES[name].lower()}.csv"'}
    return Response(list_csv.write(found), media_type="text/csv; charset=utf-8", headers=headers)


@route("GET", "/lists/{name}/history", needs="lists.read")
def history(visit: Visit) -> Response:
    """What happened to one entry, also after it was removed."""
    name, kind, value = _name(visit), visit.query.get("kind", ""), visit.query.get("value", "").replace("\x00", "")
    with visit.database() as connection:
        changes = history_of(connection, name, kind, value)
    if not changes:
        raise NotFound(f"{kind} {value} was never on the {TITLES[name].lower()}")
    return visit.page(
        "list_history.html",
        name=name,
        title=TITLES[name],
        kind=kind,
        value=value,
        changes=changes,
        matched=_matched(visit),
    )


@route("POST", "/lists/{name}/add", needs="lists.change")
def add(visit: Visit) -> Response:
    """Put a value on the list, or change its reason and its end."""
    name, kind, value = _name(visit), *_given(visit)
    return _put(visit, name, kind, value, list_csv.end_of(visit.text("expires_at")))


@route("POST", "/lists/{name}/expire", needs="lists.change")
def expire(visit: Visit) -> Response:
    """End an entry now; it stays on the list, and without effect."""
    name, kind, value = _name(visit), *_given(visit)
    return _put(visit, name, kind, value, datetime.now(timezone.utc))


@route("POST", "/lists/{name}/remove", needs="lists.change")
def remove(visit: Visit) -> Response:
    """Take a value off the list."""
    name, kind, value, reason = _name(visit), *_given(visit), visit.reason()
    with visit.database() as connection:
        change = take_off(connection, visit.desk.settings, name, kind, value, who=visit.user, reason=reason)
        if not change.found:
            raise UserError(f"{kind} {value} is not on the {TITLES[name].lower()} any more: reload the page")
        subject = f"{kind} {change.stored}"
        audit.note(connection, visit.user, "lists.change", subject, reason=reason, before={"list": name})
    if name == BLACKLIST and not change.is_clear:
        raise UserError(
            f"{kind} {value} is off the list; if it was listed by its clear value, the topic blacklist still has that:"
            f" `streamguard blacklist remove {kind} VALUE` with the clear value takes it off there too"
        )
    return _told(visit, name, [change])


@route("POST", "/lists/{name}/csv", needs="lists.change")
def upload(visit: Visit) -> Response:
    """Add the entries of a file, all of them or, where a line is wrong, none."""
    name, reason, file = _name(visit), visit.reason(), visit.form.get("file")
    if not isinstance(file, UploadFile) or not file.filename:
        raise UserError("choose a file of CSV")
    try:
        with file.file as content:
            found = list_csv.read(content.read(), reason)
    except list_csv.WrongLines as error:
        return _page(visit, name, status=409, wrong=error)
    with visit.database() as connection:
        changes = [put(connection, visit.desk.settings, name, entry, who=visit.user) for entry in found]
        after = {"list": name, "file": file.filename[:200], "entries": len(found)}
        audit.note(connection, visit.user, "lists.upload", f"list {name}", reason=reason, after=after)
    return _told(visit, name, changes)


def _put(visit: Visit, name: str, kind: str, value: str, end: datetime | None) -> Response:
    reason = visit.reason()
    with visit.database() as connection:
        entry = Entry(kind, value, reason, end)
        change = put(connection, visit.desk.settings, name, entry, who=visit.user)
        after = {"list": name, "expires_at": end}
        audit.note(connection, visit.user, "lists.change", f"{kind} {change.stored}", reason=reason, after=after)
    return _told(visit, name, [change])


def _told(visit: Visit, name: str, changes: list[Change]) -> Response:
    """Write to the topic what it has to know, then show the list."""
    if records := [change.record for change in changes if change.record is not None]:
        publish_blacklist(visit, records)
    return visit.to(f"/lists/{name}")


def _page(visit: Visit, name: str, status: int = 200, **values: Any) -> Response:
    (kind, part), page = _filters(visit), page_of(visit)
    with visit.database() as connection:
        found = page_of_entries(connection, name, kind=kind, part=part, page=page)
        count = count_entries(connection, name, kind=kind, part=part)
    return visit.page(
        "lists.html",
        status,
        name=name,
        titles=TITLES,
        kinds=KINDS,
        kind=kind,
        part=part,
        page=page,
        pages=max(1, -(-count // PAGE)),
        count=count,
        entries=found,
        matched=_matched(visit),
        value=visit.query.get("value", ""),
        **{"wrong": None, **values},
    )


def _matched(visit: Visit) -> dict[tuple[str, str, str], int] | None:
    """How often entries have matched; None while it is being counted for the first time."""

    def count() -> dict[tuple[str, str, str], int]:
        with visit.database() as connection:
            return dict(matches(connection))

    found = visit.desk.cache.soon("matches of the lists", count, for_s=COUNTED_EVERY_S)
    return None if found is None else found[0]


def _name(visit: Visit) -> str:
    name = str(visit.path["name"])
    if name not in TITLES:
        raise NotFound(f"there is no list {name}: {', '.join(TITLES)}")
    return name


def _filters(visit: Visit) -> tuple[str, str]:
    kind = visit.query.get("kind", "")
    if kind and kind not in KINDS:
        raise UserError(f"{kind} is no kind: {', '.join(KINDS)}")
    return ("" if visit.query.get("value") else kind), visit.query.get("q", "").strip()[:255].replace("\x00", "")


def _given(visit: Visit) -> tuple[str, str]:
    """Kind and value of the form. Raises UserError."""
    kind, value = visit.text("kind"), visit.text("value")
    if kind not in KINDS:
        raise UserError(f"{kind or 'nothing'} is no kind: {', '.join(KINDS)}")
    if not value or len(value) > list_csv.LONGEST or "\x00" in value:
        raise UserError(f"which {kind} is missing, or longer than {list_csv.LONGEST} characters")
    return kind, value
