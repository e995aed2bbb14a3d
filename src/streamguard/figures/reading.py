"""Live figures added up: by name, over time, and which currencies there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from streamguard.database.rows import columns_of, select_as


@dataclass(frozen=True)
class Total:
    """What somebody or something came to in a stretch of time, in one currency."""

    name: str
    label: str | None
    transactions: int
    amount: Decimal
    earning: Decimal
    flat: Decimal
    progressive: Decimal
    tiered: Decimal
    by_category: Decimal


@dataclass(frozen=True)
class Stretch:
    """What was counted in a part of the time that a chart shows."""

    begin: datetime
    transactions: int
    amount: Decimal
    flat: Decimal
    progressive: Decimal
    tiered: Decimal
    by_category: Decimal


@dataclass(frozen=True)
class Currency:
    """A currency, and how many transactions were in it."""

    currency: str
    transactions: int


ORDERS = ("transactions", "amount", "flat", "progressive", "tiered", "by_category")
"""By what the first of a list are told."""

_SUMS = """coalesce(sum(transactions), 0)::BIGINT AS transactions, coalesce(sum(amount), 0) AS amount,
    coalesce(sum(earning), 0) AS earning, coalesce(sum(commission_flat), 0) AS flat,
    coalesce(sum(commission_progressive), 0) AS progressive, coalesce(sum(commission_tiered), 0) AS tiered,
    coalesce(sum(commission_by_category), 0) AS by_category"""
_IN_TIME = "figure = :figure AND window_start >= :since AND window_start < :until"

_TOTALS = f"""
SELECT {columns_of(Total)} FROM (
    SELECT name, max(label) AS label, {_SUMS} FROM live_figures WHERE {_IN_TIME} AND currency = :currency GROUP BY name
) AS totals ORDER BY {{order}} DESC, name LIMIT :most
"""
_COURSE = f"""
SELECT {columns_of(Stretch)} FROM (
    SELECT s.begin, {_SUMS}
    FROM generate_series(CAST(:since AS TIMESTAMPTZ), CAST(:until AS TIMESTAMPTZ) - CAST(:width AS INTERVAL),
        CAST(:width AS INTERVAL)) AS s (begin)
    LEFT JOIN (
        SELECT * FROM live_figures WHERE {_IN_TIME} AND currency = :currency {{named}}
    ) AS f ON date_bin(CAST(:width AS INTERVAL), f.window_start, CAST(:since AS TIMESTAMPTZ)) = s.begin
    GROUP BY s.begin
) AS stretches ORDER BY begin
"""
_COLUMNS = {name: name if name in ("transactions", "amount") else f"commission_{name}" for name in ORDERS}
_TRENDS = f"""
SELECT name, CAST(floor(extract(epoch FROM window_start - CAST(:since AS TIMESTAMPTZ))
    / extract(epoch FROM CAST(:width AS INTERVAL))) AS INTEGER) AS place, sum({{column}}) AS total
FROM live_figures WHERE {_IN_TIME} AND currency = :currency AND name = ANY(:names) GROUP BY 1, 2
"""
_CURRENCIES = f"""
SELECT currency, sum(transactions)::BIGINT AS transactions FROM live_figures WHERE {_IN_TIME} {{named}}
GROUP BY currency ORDER BY transactions DESC, currency
"""
_NEWEST = text("SELECT window_end FROM live_figures ORDER BY window_start DESC LIMIT 1")
_NAMED = "AND name = :name"


def currencies(
    connection: Connection, since: datetime, until: datetime, figure: str = "type", name: str | None = None
) -> list[Currency]:
    """The currencies of a stretch of time, or of one name in it, the most used first."""
    values = {"figure": figure, "since": since, "until": until, "name": name}
    statement = _CURRENCIES.format(named="" if name is None else _NAMED)
    return select_as(connection, Currency, text(statement), values)


def totals(
    connection: Connection,
    figure: str,
    currency: str,
    since: datetime,
    until: datetime,
    *,
    order: str = "transactions",
    most: int = 50,
) -> list[Total]:
    """The first by a column of ORDERS. Raises ValueError for another one."""
    if order not in ORDERS:
        raise ValueError(f"there is no order {order!r}")
    values = {"figure": figure, "currency": currency, "since": since, "until": until, "most": most}
    return select_as(connection, Total, text(_TOTALS.format(order=order)), values)


def course(
    connection: Connection,
    figure: str,
    currency: str,
    since: datetime,
    until: datetime,
    width: timedelta,
    *,
    name: str | None = None,
) -> Sequence[Stretch]:
    """Stretches of the same width from `since` on, also empty ones; of all names or of one."""
    values: dict[str, Any] = {"figure": figure, "currency": currency, "since": since, "until": until, "width": width}
    statement = _COURSE.format(named="" if name is None else _NAMED)
    return select_as(connection, Stretch, text(statement), {**values, "name": name})


def trends(
    connection: Connection,
    figure: str,
    currency: str,
    since: datetime,
    until: datetime,
    width: timedelta,
    names: Sequence[str],
    *,
    order: str = "amount",
) -> dict[str, list[float]]:
    """A column of ORDERS of each name over the stretches from `since` on, 0 for those without any."""
    column = _COLUMNS[order]
    values = {"figure": figure, "currency": currency, "since": since, "until": until, "width": width}
    found = {name: [0.0] * max(round((until - since) / width), 1) for name in names}
    statement = text(_TRENDS.format(column=column))
    for row in connection.execute(statement, {**values, "names": list(names)}):
        found[row.name][row.place] = float(row.total)
    return found


def newest(connection: Connection) -> datetime | None:
    """The end of the newest window that there is."""
    found: datetime | None = connection.execute(_NEWEST).scalar()
    return found
