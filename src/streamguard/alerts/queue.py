"""The queue of alerts: filters, order, pages, counts. The desk and its API ask the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from sqlalchemy import Connection, text

from streamguard.config import UserError
from streamguard.database.locks import Lock
from streamguard.database.rows import columns_of, select_as

STATUSES = ("open", "confirmed", "dismissed", "duplicate")
ORDERS = {
    "score": "score DESC NULLS LAST, detected_at DESC, alert_id",
    "newest": "detected_at DESC, alert_id",
    "oldest": "detected_at, alert_id",
    "amount": "amount DESC NULLS LAST, alert_id",
}
"""Names of orders; each is total, so that a page never repeats or skips a row of another."""
PAGE = 100
NAMED_LATELY = 20_000
"""The newest transactions among which a merchant is found by its name."""
ANYBODY, NOBODY = "", "nobody"
DAY_MS = 86_400_000


class WrongFilter(UserError):
    """A filter has a value that means nothing."""


@dataclass(frozen=True)
class QueueFilter:
    """What is listed; an empty field does not limit. `assignee` is a user name, or `nobody`. Amounts and scores are least
    values; `since` and `until` are instants in ISO 8601; `snoozed` shows what is put aside too."""

    status: str = "open"
    rule: str = ""
    account: str = ""
    merchant: str = ""
    outcome: str = ""
    assignee: str = ANYBODY
    score: str = ""
    amount: str = ""
    since: str = ""
    until: str = ""
    escalated: str = ""
    snoozed: str = ""
    order: str = "score"

    @classmethod
    def of(cls, given: Mapping[str, str]) -> QueueFilter:
        """From the fields of an address. Raises WrongFilter with the values that are possible."""
        known = {field.name for field in fields(cls)}
        found = cls(**{name: value.strip() for name, value in given.items() if name in known})
        _one_of("status", found.status, (*STATUSES, "all"))
        _one_of("order", found.order, tuple(ORDERS))
        _one_of("outcome", found.outcome, ("", "block", "review", "dismiss", "refused", "undecided"))
        for name in ("score", "amount"):
            _number(name, getattr(found, name))
        for name in ("since", "until"):
            _instant(name, getattr(found, name))
        return found

    @property
    def limits(self) -> dict[str, str]:
        """The fields that limit, and the order, where they differ from the usual ones."""
        usual = QueueFilter()
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != getattr(usual, f.name)}

    def without(self, name: str) -> QueueFilter:
        """The same with one field as usual."""
        return replace(self, **{name: getattr(QueueFilter(), name)})


@dataclass(frozen=True)
class QueueRow:
    """An alert in the queue. `changed_at` is its version: whoever decides says which one they have seen."""

    alert_id: str
    rule: str
    account_id: str
    transaction_id: str | None
    amount: Decimal | None
    currency: str | None
    merchant_name: str | None
    tx_count: int
    detected_at: datetime
    created_at: datetime
    changed_at: datetime
    outcome: str | None
    score: int | None
    status: str
    duplicate_of: str | None
    mode: str
    assignee: str | None
    snoozed_until: datetime | None
    escalated_by: str | None
    escalated_at: datetime | None


_ROWS = f"""
SELECT {columns_of(QueueRow)} FROM (
    SELECT a.*, a.updated_at AS changed_at, t.currency, t.merchant_id, t.merchant_name, coalesce(m.mode, 'active') AS mode,
        h.assignee, h.snoozed_until, h.escalated_by, h.escalated_at
    FROM fraud_alerts a
    LEFT JOIN transactions t USING (transaction_id)
    LEFT JOIN rule_modes m ON m.rule = a.rule
    LEFT JOIN alert_handling h USING (alert_id)
    {{where}}
) AS rows
"""
_IDS = "SELECT a.alert_id FROM fraud_alerts a LEFT JOIN alert_handling h USING (alert_id) {where}"
_CONDITIONS = {
    "rule": "a.rule = :rule",
    "account": "a.account_id = :account",
    "merchant": f"""a.alert_id IN (
        SELECT l.alert_id FROM transactions t CROSS JOIN LATERAL (
            SELECT alert_id FROM alert_transactions WHERE transaction_id = t.transaction_id OFFSET 0
        ) l WHERE t.merchant_id = ANY(ARRAY(
            SELECT merchant_id FROM (
                SELECT merchant_id, merchant_name FROM transactions ORDER BY event_time DESC LIMIT {NAMED_LATELY}
            ) AS lately WHERE merchant_name ILIKE :merchant UNION SELECT CAST(:merchant AS TEXT)
        ))
    )""",  # OFFSET 0: by the index, for Postgres takes every merchant for a large one and would read the whole table
    "score": "a.score >= CAST(:score AS INTEGER)",
    "amount": "a.amount >= CAST(:amount AS NUMERIC)",
    "since": "a.detected_at >= CAST(:since AS TIMESTAMPTZ)",
    "until": "a.detected_at < CAST(:until AS TIMESTAMPTZ)",
    "escalated": "h.escalated_at IS NOT NULL",
}


def _where(wanted: QueueFilter) -> tuple[str, dict[str, Any]]:
    values = {name: getattr(wanted, name) for name in _CONDITIONS if getattr(wanted, name)}
    found = [_CONDITIONS[name] for name in values]
    values.pop("escalated", None)
    if wanted.status in STATUSES:
        # Written out, not a parameter: the planner then knows the partial index of what is open.
        found.append(f"a.status = '{wanted.status}'")
    if wanted.outcome == "undecided":
        found.append("a.outcome IS NULL")
    elif wanted.outcome:
        found.append("a.outcome = :outcome")
        values["outcome"] = wanted.outcome
    if wanted.assignee == NOBODY:
        found.append("h.assignee IS NULL")
    elif wanted.assignee:
        found.append("h.assignee = :assignee")
        values["assignee"] = wanted.assignee
    if not wanted.snoozed:
        found.append("(h.snoozed_until IS NULL OR h.snoozed_until <= now())")
    return (f"WHERE {' AND '.join(found)}" if found else ""), values


def list_queue(connection: Connection, wanted: QueueFilter, *, page: int = 1, size: int = PAGE) -> list[QueueRow]:
    """A page of the queue, from 1 on; one row more than `size` where there is a further page."""
    where, values = _where(wanted)
    order = ORDERS[wanted.order]
    # The page first, then what is shown of it: the joins of all that come before it would take longest.
    page_of = f"WHERE a.alert_id IN ({_IDS.format(where=where)} ORDER BY {order} LIMIT :size + 1 OFFSET :offset)"
    statement = text(f"{_ROWS.format(where=page_of)} ORDER BY {order}")
    return select_as(connection, QueueRow, statement, {**values, "size": size, "offset": (page - 1) * size})


def rows_of(connection: Connection, alert_ids: list[str]) -> list[QueueRow]:
    """These alerts, as the queue shows them; what is not there is left out."""
    statement = text(_ROWS.format(where="WHERE a.alert_id = ANY(:ids)"))
    return select_as(connection, QueueRow, statement, {"ids": alert_ids})


def count_queue(connection: Connection, wanted: QueueFilter, most: int = 10_000) -> int:
    """How many there are, counted up to `most`."""
    where, values = _where(wanted)
    statement = f"SELECT count(*) FROM ({_IDS.format(where=where)} LIMIT :most) AS counted"
    return int(connection.execute(text(statement), {**values, "most": most}).scalar_one())


_CHANGED = text(f"{_ROWS.format(where='WHERE a.updated_at >= :after')} ORDER BY changed_at, alert_id LIMIT :most")


def changed_since(connection: Connection, after: datetime, most: int) -> list[QueueRow]:
    """Alerts that changed at or after an instant, in the order of their changes."""
    return select_as(connection, QueueRow, _CHANGED, {"after": after, "most": most})


_SETTLED = text(f"""
SELECT least(clock_timestamp(), min(a.xact_start)) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.objid = {int(Lock.STORE)} AND l.objsubid = 1
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")


def settled_before(connection: Connection) -> datetime:
    """The instant before which no change of an alert can come any more: what writes now may have changed some since."""
    return cast("datetime", connection.execute(_SETTLED).scalar_one())


def _one_of(name: str, value: str, possible: tuple[str, ...]) -> None:
    if value not in possible:
        raise WrongFilter(f"{name}={value} means nothing: {', '.join(filter(None, possible))}")


def _number(name: str, value: str) -> None:
    if value and not value.replace(".", "", 1).isdecimal():
        raise WrongFilter(f"{name}={value} is no number")
    if name == "score" and value and ("." in value or int(value) > 100):
        raise WrongFilter(f"score={value} is no whole number up to 100")


def _instant(name: str, value: str) -> None:
    try:
        datetime.fromisoformat(value.replace("Z", "+00:00") if value else "2000-01-01")
    except ValueError:
        raise WrongFilter(f"{name}={value} is no time such as 2026-11-29T19:30Z") from None
