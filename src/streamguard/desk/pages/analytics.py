"""Analytics: commission, merchants, customers and channels, from live figures and from the newest batch jobs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response

from streamguard.config import UserError
from streamguard.desk.pages.quality import RANGES, Range
from streamguard.desk.render import link
from streamguard.desk.site import NotFound, Visit, route
from streamguard.figures import reading
from streamguard.figures.kinds import WAYS
from streamguard.figures.results import newest_result
from streamguard.quality.report import MINUTE, now_of

FRESH_S = 15
FIVE_MINUTES = timedelta(minutes=5)
NARROWER = {"month": "day", "week": "day", "day": "hour"}
"""A stretch of a range opens the narrower one that begins with it."""
NAMES = {"flat": "flat", "progressive": "progressive", "tiered": "tiered", "by_category": "by category"}
HUES = {"flat": "accent", "progressive": "sound", "tiered": "review", "by_category": "shadow"}
"""The colour of each structure of commission, the same on every page."""
ORDERS = {"amount": "amount", "transactions": "transactions", **NAMES}
SHOWN, DRAWN = 50, 15
"""How many merchants or customers are listed, and of how many the course is drawn."""
RESULTS = {
    "commission": ("commission", "revenue"),
    "merchants": ("merchants",),
    "customers": ("segments", "lifetime"),
    "channels": ("channels", "patterns"),
}
"""The batch jobs of each page."""


@dataclass(frozen=True)
class Asked:
    """What an address asks for: a range up to an instant, None for now."""

    range: str
    until: datetime | None
    currency: str
    order: str

    @property
    def span(self) -> Range:
        """Its length, and the width of a stretch."""
        return RANGES[self.range]


def asked(visit: Visit) -> Asked:
    """The fields of the address. Raises UserError for what there is not."""
    name, order = visit.query.get("range", "day"), visit.query.get("order", "flat")
    if name not in RANGES:
        raise UserError(f"there is no range {name[:20]}: {', '.join(RANGES)}")
    if order not in ORDERS:
        raise UserError(f"there is no order {order[:20]}: {', '.join(ORDERS)}")
    currency = visit.query.get("currency", "")
    if currency and not re.fullmatch("[A-Z]{3}", currency):
        raise UserError(f"{currency[:20]!r} is no currency: three capital letters are expected, such as EUR")
    return Asked(name, _instant(visit.query.get("until", "")), currency, order)


def _instant(given: str) -> datetime | None:
    if not given:
        return None
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        raise UserError(f"until is no time: {given[:40]!r}; 2026-11-30T10:00 is expected, in UTC") from None
    if not 1971 <= found.year <= 9000:
        raise UserError(f"until is no time that transactions have: {given[:40]}")
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Frame:
    """What all pages show of a range: where it begins and ends, its currencies, and the one that is chosen."""

    since: datetime
    until: datetime
    newest: datetime | None
    currencies: Sequence[reading.Currency]
    currency: str
    course: Sequence[reading.Stretch]

    @property
    def is_empty(self) -> bool:
        """Whether there is no transaction in the currency."""
        return not any(stretch.transactions for stretch in self.course)


def _frame(connection: Connection, wanted: Asked, figure: str = "type", name: str | None = None) -> Frame:
    """The range in a figure; of all names, or of one."""
    until = _whole(wanted.until or now_of(connection) + MINUTE, wanted)
    since = until - wanted.span.span
    found = reading.currencies(connection, since, until, figure, name)
    currency = wanted.currency or (found[0].currency if found else "")
    width = wanted.span.step
    course = reading.course(connection, figure, currency, since, until, width, name=name) if currency else []
    return Frame(since, until, reading.newest(connection), found, currency, course)


def _whole(until: datetime, wanted: Asked) -> datetime:
    """The next border between windows: those of merchants have five minutes, but in the range of an hour."""
    step = MINUTE if wanted.range == "hour" else FIVE_MINUTES
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    return until + (epoch - until) % step


@route("GET", "/analytics", needs="analytics.read")
def analytics(visit: Visit) -> Response:
    """The first of the pages."""
    return visit.to("/analytics/commission")


@route("GET", "/analytics/commission", needs="analytics.read")
def commission(visit: Visit) -> Response:
    """What each structure of commission brings, over time, by type and by category."""

    def compute(connection: Connection, wanted: Asked) -> dict[str, Any]:
        frame = _frame(connection, wanted)
        place = (frame.currency, frame.since, frame.until)
        lists = {kind: reading.totals(connection, kind, *place, order=wanted.order) for kind in ("type", "category")}
        return {"frame": frame, "lists": lists}

    return _page(visit, "commission", compute)


@route("GET", "/analytics/merchants", needs="analytics.read")
def merchants(visit: Visit) -> Response:
    """The merchants that bring most, each with its course."""
    return _page(
        visit, "merchants", lambda connection, wanted: _most(connection, wanted, _figure_of(MERCHANTS, wanted))
    )


@route("GET", "/analytics/customers", needs="analytics.read")
def customers(visit: Visit) -> Response:
    """The accounts that spend most."""
    return _page(visit, "customers", lambda connection, wanted: _most(connection, wanted, "account"))


@route("GET", "/analytics/channels", needs="analytics.read")
def channels(visit: Visit) -> Response:
    """Volume by channel, category and city."""

    def compute(connection: Connection, wanted: Asked) -> dict[str, Any]:
        frame = _frame(connection, wanted, "channel")
        place = (frame.currency, frame.since, frame.until)
        kinds = ("channel", "category", "city")
        return {
            "frame": frame,
            "lists": {kind: reading.totals(connection, kind, *place, order="amount") for kind in kinds},
        }

    return _page(visit, "channels", compute)


MERCHANTS, CUSTOMERS = "merchants", "customers"


def _figure_of(page: str, wanted: Asked) -> str:
    """The figure of one merchant or customer: windows of five minutes are a fifth of the rows."""
    return "account" if page == CUSTOMERS else "merchant" if wanted.range == "hour" else "merchant_5m"


def _most(connection: Connection, wanted: Asked, figure: str) -> dict[str, Any]:
    """The first by the order that is asked for; of the very first their course."""
    frame = _frame(connection, wanted)
    place = (frame.currency, frame.since, frame.until)
    rows = reading.totals(connection, figure, *place, order=wanted.order, most=SHOWN)
    names = [row.name for row in rows[:DRAWN]]
    courses = reading.trends(connection, figure, *place, wanted.span.step, names, order=wanted.order)
    return {"frame": frame, "rows": rows, "courses": courses}


@route("GET", "/analytics/merchants/{name:path}", needs="analytics.read")
def merchant(visit: Visit) -> Response:
    """One merchant over time; its accounts and alerts are on its own page."""
    return _one(visit, MERCHANTS, "merchant")


@route("GET", "/analytics/customers/{name:path}", needs="analytics.read")
def customer(visit: Visit) -> Response:
    """One account over time."""
    return _one(visit, CUSTOMERS, "account")


def _one(visit: Visit, page: str, kind: str) -> Response:
    name, wanted = visit.path["name"], asked(visit)
    if "\x00" in name:
        raise NotFound(f"a {kind} has no such name")
    figure = _figure_of(page, wanted)
    with visit.database() as connection:
        frame = _frame(connection, wanted, figure, name)
    label = "" if kind == "account" else visit.query.get("label", "")
    return visit.page(
        "analytics_one.html", **_common(visit, page, wanted, frame, name), kind=kind, name=name, label=label
    )


def _page(visit: Visit, page: str, compute: Any) -> Response:
    """A page of its name; what is asked for by many is computed once for all."""
    wanted = asked(visit)
    if wanted.until is None:
        name = f"analytics {page} {wanted.range} {wanted.currency} {wanted.order}"
        values = visit.desk.cache.get(name, lambda connection: compute(connection, wanted), for_s=FRESH_S)
    else:
        with visit.database() as connection:
            values = compute(connection, wanted)
    results = visit.desk.cache.get(f"results {page}", lambda connection: _results(connection, page), for_s=FRESH_S)
    shown = _common(visit, page, wanted, values["frame"]) | values
    return visit.page(f"analytics_{page}.html", **shown, results=results)


def _results(connection: Connection, page: str) -> list[Any]:
    return [(job, newest_result(connection, job)) for job in RESULTS[page]]


def _common(visit: Visit, page: str, wanted: Asked, frame: Frame, name: str = "") -> dict[str, Any]:
    """What the head of each page, and its chart, are made of."""
    path = link("analytics", page, name) if name else link("analytics", page)
    fields = {"currency": wanted.currency, "order": wanted.order if "order" in visit.query else ""}
    inner = NARROWER.get(wanted.range)
    url = visit.desk.renderer.url
    targets = [
        url(path, range=inner, until=(stretch.begin + RANGES[inner].span).isoformat(), **fields)
        for stretch in frame.course
        if inner is not None
    ]
    return {
        "page": page,
        "path": path,
        "wanted": wanted,
        "fields": fields,
        "frame": frame,
        "targets": targets,
        "inner": inner,
        "ranges": list(RANGES),
        "orders": ORDERS,
        "ways": WAYS,
        "names": NAMES,
        "hues": HUES,
        "drawn": DRAWN,
        "shown": SHOWN,
    }
