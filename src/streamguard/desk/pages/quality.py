"""Quality: how complete, fresh, late, repeated and many the transactions are, beside what is usual."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response

from streamguard.config import UserError
from streamguard.desk.site import Visit, route
from streamguard.quality.figures import Stretch, stretches
from streamguard.quality.limits import FEWEST, USUAL_DAYS, WEEKS
from streamguard.quality.report import MINUTE, Check, Report, now_of, report
from streamguard.quality.words import limit, shown

FRESH_S = 20


@dataclass(frozen=True)
class Range:
    """A span of time before now, in stretches of `step`; `form` is one of `charts.FORMS`."""

    span: timedelta
    step: timedelta
    form: str


RANGES = {
    "hour": Range(timedelta(hours=1), timedelta(minutes=1), "clock"),
    "day": Range(timedelta(days=1), timedelta(minutes=20), "clock"),
    "week": Range(timedelta(days=7), timedelta(hours=2), "weekday"),
    "month": Range(timedelta(days=30), timedelta(hours=8), "date"),
}


@route("GET", "/system/quality", needs="system.read")
def quality(visit: Visit) -> Response:
    """The figures of `streamguard quality` for a range, with their course."""
    name = visit.query.get("range", "day")
    if (chosen := RANGES.get(name)) is None:
        raise UserError(f"there is no range {name[:20]}: {', '.join(RANGES)}")
    topic = visit.desk.settings.transactions_topic
    found, course = visit.desk.cache.get(f"quality {name}", lambda c: _figures(c, topic, chosen), for_s=FRESH_S)
    return visit.page(
        "quality.html",
        report=found,
        buckets=[_bucket(visit, topic, stretch, chosen) for stretch in course],
        volume=[stretch.records for stretch in course],
        ages=[stretch.age_mean_s for stretch in course],
        ranges=list(RANGES),
        chosen=name,
        form=chosen.form,
        checks=[_row(check) for check in found.others],
        fields=[_row(check) for check in found.fields],
        fewest=FEWEST,
        weeks=WEEKS,
        days=USUAL_DAYS,
    )


def _figures(connection: Connection, topic: str, chosen: Range) -> tuple[Report, list[Stretch]]:
    until = now_of(connection) + MINUTE
    since = until - chosen.span
    return report(connection, topic, since, until), list(stretches(connection, topic, since, until, chosen.step))


def _bucket(visit: Visit, topic: str, stretch: Stretch, chosen: Range) -> tuple[datetime, dict[str, int], str]:
    """As `charts.columns` takes it: dead letters and late ones, and a link to the dead letters since then."""
    counts = {"block": stretch.dead_letters, "velocity": stretch.late}
    address = visit.desk.renderer.url("/dead-letters", since=stretch.begin.isoformat(), topic=topic, state="all")
    return stretch.begin, {hue: count for hue, count in counts.items() if count}, address


def _row(check: Check) -> dict[str, Any]:
    """A check in words."""
    usual = shown(check, check.usual) if check.usual is not None else "–"
    return {
        "name": check.field or check.name,
        "share": check.value,
        "value": shown(check, check.value) if check.value is not None else "–",
        "usual": usual,
        "limit": limit(check) or "–",
        "breached": check.breached,
    }
