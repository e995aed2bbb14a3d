"""How often each rule has hit lately, and what analysts made of its alerts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import Connection, text

from streamguard.database.rows import select_as


@dataclass(frozen=True)
class Figures:
    """Of one rule: `day` and `week` count its alerts that were stored in the last 24 hours and 7 days, or, of a Python rule,
    the decisions made in that time in which it had points. `confirmed` and `dismissed` count the alerts that analysts
    resolved, of all times, where the rule raised the alert or had points; a duplicate is neither. `accounts` counts the
    accounts of a SQL rule's alerts, and `found_share` is its share of the transactions of confirmed alerts, 0 to 1: None
    where none is confirmed, and of a Python rule."""

    rule: str
    day: int = 0
    week: int = 0
    confirmed: int = 0
    dismissed: int = 0
    accounts: int | None = None
    found_share: float | None = None

    @property
    def confirmed_share(self) -> float | None:
        """Confirmed of the resolved alerts, 0 to 1; None where none is resolved."""
        resolved = self.confirmed + self.dismissed
        return self.confirmed / resolved if resolved else None


@dataclass(frozen=True)
class Day:
    """The alerts of a rule on one day, UTC, and what analysts made of them."""

    day: date
    alerts: int
    confirmed: int
    dismissed: int
    duplicates: int


_DAYS = """
SELECT CAST(detected_at AT TIME ZONE 'UTC' AS DATE) AS day, count(*) AS alerts,
    count(*) FILTER (WHERE status = 'confirmed') AS confirmed, count(*) FILTER (WHERE status = 'dismissed') AS dismissed,
    count(*) FILTER (WHERE status = 'duplicate') AS duplicates
FROM fraud_alerts WHERE rule = :rule AND detected_at > now() - CAST(:span AS INTERVAL) GROUP BY 1 ORDER BY 1
"""
_SQL = """
WITH fraud AS (
    SELECT DISTINCT l.transaction_id FROM alert_transactions l JOIN fraud_alerts USING (alert_id) WHERE status = 'confirmed'
), found AS (
    SELECT a.rule, count(DISTINCT l.transaction_id) AS transactions
    FROM fraud JOIN alert_transactions l ON l.transaction_id = fraud.transaction_id
    JOIN fraud_alerts a ON a.alert_id = l.alert_id GROUP BY a.rule
)
SELECT rule, count(*) FILTER (WHERE created_at > now() - INTERVAL '1 day') AS day,
    count(*) FILTER (WHERE created_at > now() - INTERVAL '7 days') AS week,
    count(*) FILTER (WHERE status = 'confirmed') AS confirmed, count(*) FILTER (WHERE status = 'dismissed') AS dismissed,
    count(DISTINCT account_id) AS accounts,
    CAST(coalesce(max(f.transactions), 0) AS DOUBLE PRECISION) / nullif((SELECT count(*) FROM fraud), 0) AS found_share
FROM fraud_alerts LEFT JOIN found f USING (rule) GROUP BY rule
"""
_PYTHON = """
SELECT v.verdict ->> 'rule' AS rule, count(*) FILTER (WHERE d.decided_at > now() - INTERVAL '1 day') AS day,
    count(*) FILTER (WHERE d.decided_at > now() - INTERVAL '7 days') AS week,
    count(DISTINCT a.alert_id) FILTER (WHERE a.status = 'confirmed') AS confirmed,
    count(DISTINCT a.alert_id) FILTER (WHERE a.status = 'dismissed') AS dismissed
FROM decisions d
JOIN fraud_alerts a USING (alert_id)
CROSS JOIN LATERAL jsonb_array_elements(d.verdicts) AS v (verdict)
WHERE d.decided_by = 'rules' AND (d.decided_at > now() - INTERVAL '7 days' OR a.status <> 'open')
    AND (v.verdict ->> 'points')::INTEGER <> 0
GROUP BY 1
"""


def figures_of(connection: Connection) -> dict[str, Figures]:
    """The figures of every rule that has any, by its name."""
    found = [*select_as(connection, Figures, text(_SQL)), *select_as(connection, Figures, text(_PYTHON))]
    return {figures.rule: figures for figures in found}


def days_of(connection: Connection, rule: str, days: int = 30) -> list[Day]:
    """The alerts of a SQL rule by day, the oldest first; days without one are left out."""
    return select_as(connection, Day, text(_DAYS), {"rule": rule, "span": timedelta(days=days)})
