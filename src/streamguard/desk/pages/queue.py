"""The queue: a list of alerts at the left, the selected one whole at the right."""

from __future__ import annotations

import csv
import io
from dataclasses import fields
from typing import Any
from urllib.parse import parse_qsl, urlencode

from sqlalchemy import Connection, text
from starlette.responses import JSONResponse, Response

from streamguard.alerts.queue import ORDERS, PAGE, STATUSES, QueueFilter, QueueRow, count_queue, list_queue
from streamguard.config import UserError
from streamguard.desk.pages.alert import panel_values
from streamguard.desk.site import Visit, route
from streamguard.rules.catalogue import sql_rules
from streamguard.users.accounts import users

MOST_EXPORTED = 100_000


def page_of(visit: Visit) -> int:
    """The number of the page that is asked for, from 1 on."""
    asked = visit.query.get("page", "1")
    return max(1, int(asked)) if asked.isdecimal() and len(asked) < 7 else 1


@route("GET", "/queue", needs="alerts.read")
def queue(visit: Visit) -> Response:
    """The list with its filters; `selected` names the alert at the right."""
    wanted, page = QueueFilter.of(visit.query), page_of(visit)
    selected = visit.query.get("selected", "")
    with visit.database() as connection:
        rows = list_queue(connection, wanted, page=page)
        chosen = selected or (rows[0].alert_id if rows else "")
        values: dict[str, Any] = {
            "rows": rows[:PAGE],
            "more": len(rows) > PAGE,
            "page": page,
            "wanted": wanted,
            "count": count_queue(connection, wanted),
            "views": _views(connection, visit.user),
            "panel": panel_values(visit, connection, chosen) if chosen else None,
            "selected": chosen,
        }
        if not visit.is_fragment:
            values |= _choices(connection)
            values["mine"] = count_queue(connection, QueueFilter(assignee=visit.user))
            values["ever"] = bool(rows) or _has_alerts(connection)
    return visit.page("queue_rows.html" if visit.is_fragment else "queue.html", **values)


@route("GET", "/queue.csv", needs="alerts.read")
def export(visit: Visit) -> Response:
    """The list as CSV, all pages. Text that a spreadsheet would run as a formula gets an apostrophe."""
    wanted = QueueFilter.of(visit.query)
    with visit.database() as connection:
        rows = list_queue(connection, wanted, size=MOST_EXPORTED)
    out = io.StringIO()
    writer = csv.writer(out)
    names = [field.name for field in fields(QueueRow)]
    writer.writerow(names)
    writer.writerows([[_cell(getattr(row, name)) for name in names] for row in rows[:MOST_EXPORTED]])
    headers = {"content-disposition": 'attachment; filename="alerts.csv"'}
    return Response(out.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


@route("POST", "/queue/views", needs="self.change")
def save_view(visit: Visit) -> Response:
    """Keep the present filters under a name, or remove a name that is sent with `remove`."""
    name, filters = visit.text("name")[:40], visit.text("filters")
    with visit.database() as connection:
        if visit.text("remove"):
            statement = "DELETE FROM saved_views WHERE user_name = :user AND name = :name"
            connection.execute(text(statement), {"user": visit.user, "name": name})
            return visit.to("/queue")
        if not name:
            raise UserError("a saved view needs a name")
        kept = urlencode(QueueFilter.of(dict(parse_qsl(filters.lstrip("?")))).limits)
        statement = (
            "INSERT INTO saved_views (user_name, name, filters) VALUES (:user, :name, :filters)"
            " ON CONFLICT (user_name, name) DO UPDATE SET filters = excluded.filters"
        )
        connection.execute(text(statement), {"user": visit.user, "name": name, "filters": kept})
    return visit.to(f"/queue?{kept}")


@route("GET", "/queue/next", needs="alerts.read")
def next_unassigned(visit: Visit) -> Response:
    """The first alert of the queue that nobody has; JSON for the script."""
    with visit.database() as connection:
        rows = list_queue(connection, QueueFilter(assignee="nobody"), size=1)
    if visit.is_fragment:
        return JSONResponse({"alert_id": rows[0].alert_id if rows else None})
    return visit.to(f"/queue?{urlencode({'assignee': 'nobody'})}")


def _choices(connection: Connection) -> dict[str, Any]:
    return {
        "statuses": STATUSES,
        "orders": list(ORDERS),
        "rules": sorted({rule.name for rule in sql_rules()}),
        "people": [user.user_name for user in users(connection) if user.disabled_at is None],
    }


def _views(connection: Connection, user: str) -> list[Any]:
    statement = text("SELECT name, filters FROM saved_views WHERE user_name = :user ORDER BY name")
    return list(connection.execute(statement, {"user": user}))


def _has_alerts(connection: Connection) -> bool:
    return bool(connection.execute(text("SELECT EXISTS (SELECT FROM fraud_alerts)")).scalar())


def _cell(value: object) -> str:
    shown = "" if value is None else str(value)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@", "\t", "\r")) and not _is_number(shown) else shown


def _is_number(shown: str) -> bool:
    return shown.lstrip("-").replace(".", "", 1).isdecimal()
