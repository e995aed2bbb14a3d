"""Webhooks: where decisions are posted to; add, change, test, pause, rotate the secret, remove; the log of deliveries."""

from __future__ import annotations

import threading

from sqlalchemy import Connection
from starlette.responses import Response

from streamguard.config import UserError
from streamguard.desk.site import NotFound, Visit, route
from streamguard.rules.catalogue import SQL, catalogue
from streamguard.webhooks import deliveries, hooks
from streamguard.webhooks.deliveries import STATUSES
from streamguard.webhooks.hooks import Hook, NoSuchHook, Wanted
from streamguard.webhooks.post import Result
from streamguard.webhooks.sender import Sender

PAGE = 100
PLACE = "/system/webhooks"
PAUSE, RESUME = "pause", "resume"


@route("GET", PLACE, needs="webhooks.change")
def webhooks(visit: Visit) -> Response:
    """All webhooks with their state, and the form that adds one."""
    with visit.database() as connection:
        found, counts = hooks.hooks(connection), deliveries.counts(connection)
    return visit.page(
        "webhooks.html",
        hooks=found,
        counts=counts,
        outcomes=hooks.OUTCOMES,
        rules=_rules(),
        most=hooks.MOST_HOOKS,
        counted=deliveries.MOST_COUNTED,
    )


@route("POST", PLACE, needs="webhooks.change")
def add(visit: Visit) -> Response:
    """Make a webhook; its page shows the secret, once."""
    with visit.database() as connection:
        number, secret = hooks.add_hook(connection, visit.desk.settings, _wanted(visit), by=visit.user)
    return _page(visit, number, secret=secret)


@route("GET", PLACE + "/{number:int}", needs="webhooks.change")
def webhook(visit: Visit) -> Response:
    """One webhook, and the log of its deliveries; `status` limits it, `before` goes on."""
    return _page(visit, visit.path["number"])


@route("POST", PLACE + "/{number:int}", needs="webhooks.change")
def change(visit: Visit) -> Response:
    """Another address, description or filter."""
    number = visit.path["number"]
    with visit.database() as connection:
        _hook(connection, number)
        hooks.change_hook(connection, number, _wanted(visit), by=visit.user, reason=visit.reason())
    return visit.to(f"{PLACE}/{number}")


@route("POST", PLACE + "/{number:int}/test", needs="webhooks.change")
def test(visit: Visit) -> Response:
    """Post a decision that is none, and show what came of it."""
    number = visit.path["number"]
    with visit.database() as connection:
        _hook(connection, number)
    result = Sender(visit.desk.engine, threading.Event()).send_test(number, visit.user)
    return _page(visit, number, tested=result)


@route("POST", PLACE + "/{number:int}/state", needs="webhooks.change")
def switch(visit: Visit) -> Response:
    """Pause or resume."""
    number, wanted = visit.path["number"], visit.text("state")
    with visit.database() as connection:
        _hook(connection, number)
        if wanted not in (PAUSE, RESUME):
            raise UserError(f"{wanted or 'nothing'} is neither {PAUSE} nor {RESUME}")
        hooks.switch_hook(connection, number, wanted == RESUME, by=visit.user, reason=visit.reason())
    return visit.to(f"{PLACE}/{number}")


@route("POST", PLACE + "/{number:int}/rotate", needs="webhooks.change")
def rotate(visit: Visit) -> Response:
    """A new secret; the page shows it, once."""
    number = visit.path["number"]
    with visit.database() as connection:
        _hook(connection, number)
        secret = hooks.rotate_secret(connection, number, by=visit.user, reason=visit.reason())
    return _page(visit, number, secret=secret)


@route("POST", PLACE + "/{number:int}/remove", needs="webhooks.change")
def remove(visit: Visit) -> Response:
    """Remove a webhook with its deliveries."""
    number = visit.path["number"]
    with visit.database() as connection:
        _hook(connection, number)
        hooks.remove_hook(connection, number, by=visit.user, reason=visit.reason())
    return visit.to(PLACE)


@route("POST", PLACE + "/{number:int}/again", needs="webhooks.change")
def again(visit: Visit) -> Response:
    """Send a delivery again (the field `delivery`), or all that was given up."""
    number, delivery = visit.path["number"], visit.text("delivery")
    if delivery and not (delivery.isdecimal() and len(delivery) < 19):
        raise UserError(f"{delivery[:20]!r} is no number of a delivery")
    with visit.database() as connection:
        _hook(connection, number)
        if delivery:
            deliveries.send_again(connection, number, int(delivery), by=visit.user)
        else:
            deliveries.send_given_up_again(connection, number, by=visit.user)
    return visit.to(f"{PLACE}/{number}")


def _page(visit: Visit, number: int, secret: str = "", tested: Result | None = None) -> Response:
    status, before = visit.query.get("status", ""), visit.query.get("before", "")
    if status and status not in STATUSES:
        raise UserError(f"{status[:20]!r} is no status: {', '.join(STATUSES)}")
    if before and not (before.isdecimal() and len(before) < 19):
        raise UserError(f"before={before[:20]} is no number of a delivery")
    with visit.database() as connection:
        found = _hook(connection, number)
        counts = deliveries.counts(connection)[number]
        rows = deliveries.log_of(
            connection, number, status=status or None, before=int(before) if before else None, limit=PAGE + 1
        )
    return visit.page(
        "webhook.html",
        hook=found,
        counts=counts,
        rows=rows[:PAGE],
        more=len(rows) > PAGE,
        chosen=status,
        before=before,
        statuses=STATUSES,
        outcomes=hooks.OUTCOMES,
        rules=_rules(),
        most=deliveries.MOST_COUNTED,
        kept_days=deliveries.KEPT_DAYS,
        secret=secret,
        tested=tested,
    )


def _wanted(visit: Visit) -> Wanted:
    rules = tuple(dict.fromkeys(rule for part in visit.text("rules").split(",") if (rule := part.strip())))
    outcomes = tuple(str(value) for value in visit.form.getlist("outcomes"))
    return Wanted(visit.text("url"), visit.text("description"), outcomes, rules)


def _rules() -> list[str]:
    return [rule.name for rule in catalogue() if rule.kind == SQL]


def _hook(connection: Connection, number: int) -> Hook:
    try:
        return hooks.hook(connection, number)
    except NoSuchHook as error:
        raise NotFound(str(error)) from None
