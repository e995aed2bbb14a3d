"""Now: what happens at this moment, and what is usual."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import Connection, text
from starlette.responses import Response

from streamguard.alerts.queue import QueueFilter, QueueRow, list_queue
from streamguard.config import UserError
from streamguard.database.rows import select_as
from streamguard.desk.render import family
from streamguard.desk.site import Visit, route

LATELY_MINUTES = 5


@dataclass(frozen=True)
class Range:
    """A span of time before now, in buckets of `step`; `form` is one of `charts.FORMS`."""

    name: str
    span: timedelta
    step: timedelta
    form: str


RANGES = {
    "hour": Range("hour", timedelta(hours=1), timedelta(minutes=1), "clock"),
    "day": Range("day", timedelta(days=1), timedelta(minutes=20), "clock"),
    "week": Range("week", timedelta(days=7), timedelta(hours=2), "weekday"),
}


@dataclass(frozen=True)
class MerchantNow:
    """A merchant in the last minutes."""

    merchant_id: str
    merchant_name: str | None
    transactions: int
    amount: float
    flagged: int


@dataclass(frozen=True)
class PlaceNow:
    """A city in the last minutes."""

    city: str
    longitude: float
    latitude: float
    transactions: int
    flagged: int


@dataclass(frozen=True)
class AccountNow:
    """An account in the last minutes."""

    account_id: str
    transactions: int
    flagged: int


@dataclass(frozen=True)
class RuleToday:
    """A rule in the last day; `confirmed` and `dismissed` are what analysts decided on these alerts."""

    rule: str
    alerts: int
    confirmed: int
    dismissed: int


_VOLUME = """
SELECT date_bin(CAST(:step AS INTERVAL), event_time, TIMESTAMPTZ '2000-01-01 00:00Z') AS bucket, count(*) AS transactions
FROM transactions WHERE event_time >= :since AND event_time < :until GROUP BY 1
"""
_ALERTS = """
SELECT date_bin(CAST(:step AS INTERVAL), detected_at, TIMESTAMPTZ '2000-01-01 00:00Z') AS bucket, rule, count(*) AS alerts
FROM fraud_alerts WHERE detected_at >= :since AND detected_at < :until GROUP BY 1, 2
"""
_SINCE = f"event_time > clock_timestamp() - INTERVAL '{LATELY_MINUTES} minutes'"
_MERCHANTS = f"""
SELECT merchant_id, max(merchant_name) AS merchant_name, count(*) AS transactions, sum(amount)::FLOAT AS amount,
    count(*) FILTER (WHERE is_fraud) AS flagged
FROM transactions WHERE {_SINCE} AND merchant_id IS NOT NULL GROUP BY 1 ORDER BY transactions DESC, merchant_id LIMIT 7
"""
_PLACES = f"""
SELECT city, avg(longitude)::FLOAT AS longitude, avg(latitude)::FLOAT AS latitude, count(*) AS transactions,
    count(*) FILTER (WHERE is_fraud) AS flagged
FROM transactions WHERE {_SINCE} AND city IS NOT NULL AND longitude IS NOT NULL GROUP BY 1 ORDER BY 4 DESC LIMIT 25
"""
_ACCOUNTS = f"""
SELECT account_id, count(*) AS transactions, count(*) FILTER (WHERE is_fraud) AS flagged
FROM transactions WHERE {_SINCE} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 7
"""
_RULES = """
SELECT rule, count(*) AS alerts, count(*) FILTER (WHERE status = 'confirmed') AS confirmed,
    count(*) FILTER (WHERE status = 'dismissed') AS dismissed
FROM fraud_alerts WHERE detected_at > clock_timestamp() - INTERVAL '1 day' GROUP BY 1 ORDER BY 2 DESC, 1
"""


@route("GET", "/", needs="alerts.read")
def now(visit: Visit) -> Response:
    """The first page."""
    chosen = RANGES.get(visit.query.get("range", "hour"))
    if chosen is None:
        raise UserError(f"there is no range {visit.query['range']}: {', '.join(RANGES)}")
    cache, pulse = visit.desk.cache, visit.desk.pulse
    with visit.database() as connection:
        newest: list[QueueRow] = list_queue(
            connection, QueueFilter(status="all", order="newest", snoozed="1"), size=12
        )[:12]
    return visit.page(
        "now.html",
        history={name: [value for _, value in list(kept)[-120:]] for name, kept in pulse.history.items()},
        chart=cache.get(f"volume {chosen.name}", lambda c: _buckets(c, chosen), for_s=5),
        merchants=cache.get("merchants", lambda c: select_as(c, MerchantNow, text(_MERCHANTS)), for_s=5),
        accounts=cache.get("accounts", lambda c: select_as(c, AccountNow, text(_ACCOUNTS)), for_s=5),
        places=cache.get("places", lambda c: select_as(c, PlaceNow, text(_PLACES)), for_s=5),
        rules=cache.get("rules", lambda c: select_as(c, RuleToday, text(_RULES)), for_s=10),
        newest=newest,
        ranges=list(RANGES),
        chosen=chosen.name,
        form=chosen.form,
        minutes=LATELY_MINUTES,
    )


def _buckets(connection: Connection, chosen: Range) -> dict[str, Any]:
    """Volume and alerts of each bucket: `buckets` and `line` as `charts.columns` takes them, and the rules that occur."""
    step = chosen.step.total_seconds()
    end = datetime.fromtimestamp((datetime.now(timezone.utc).timestamp() // step + 1) * step, timezone.utc)
    since = end - chosen.span
    values = {"step": chosen.step, "since": since, "until": end}
    volume = {row.bucket: int(row.transactions) for row in connection.execute(text(_VOLUME), values)}
    alerts: defaultdict[datetime, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in connection.execute(text(_ALERTS), values):
        alerts[row.bucket][family(row.rule)] += int(row.alerts)
    starts = [since + n * chosen.step for n in range(int(chosen.span / chosen.step))]
    buckets = [(dict(alerts[at]), at, at + chosen.step) for at in starts]
    return {
        "buckets": buckets,
        "line": [volume.get(at, 0) for at in starts],
        "families": sorted({name for found in alerts.values() for name in found}),
        "total": sum(volume.values()),
    }
