"""What an analyst does with alerts: list, look, confirm, dismiss. The command line and the dashboard call the same.

Every action is a row in `decisions`: who, when, why, and the status before and after. `is_fraud` follows in the same
database transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from streamguard.config import UserError
from streamguard.database.fraud import MARK_FRAUD, STORE_LOCK


class NoSuchAlert(UserError):
    """No alert has this id."""


@dataclass(frozen=True)
class AlertLine:
    """An alert in a list."""

    alert_id: str
    rule: str
    account_id: str
    amount: Decimal | None
    tx_count: int
    detected_at: datetime
    outcome: str | None
    score: int | None
    status: str


@dataclass(frozen=True)
class AlertFile:
    """An alert with all that belongs to it."""

    line: AlertLine
    transactions: Sequence[Any]
    """transaction_id, event_time, amount, currency, merchant_name, city, country; by time"""
    decisions: Sequence[Any]
    """tx_count, decided_by, outcome, score, reason, verdicts, decided_at; in the order they were taken"""


_LINE = "alert_id, rule, account_id, amount, tx_count, detected_at, outcome, score, status"


def list_alerts(
    connection: Connection, *, limit: int = 20, status: str | None = None, account: str | None = None
) -> list[AlertLine]:
    """The newest alerts first, of one status or account where asked for."""
    rows = connection.execute(
        text(
            f"SELECT {_LINE} FROM fraud_alerts"
            " WHERE (CAST(:status AS TEXT) IS NULL OR status = :status)"
            " AND (CAST(:account AS TEXT) IS NULL OR account_id = :account)"
            " ORDER BY detected_at DESC, alert_id LIMIT :limit"
        ),
        {"status": status, "account": account, "limit": limit},
    )
    return [AlertLine(*row) for row in rows]


def show_alert(connection: Connection, alert_id: str) -> AlertFile:
    """One alert with its transactions and decisions. Raises NoSuchAlert."""
    row = connection.execute(text(f"SELECT {_LINE} FROM fraud_alerts WHERE alert_id = :id"), {"id": alert_id}).first()
    if row is None:
        raise NoSuchAlert(f"there is no alert {alert_id}")
    transactions = connection.execute(
        text(
            "SELECT transaction_id, event_time, amount, currency, merchant_name, city, country"
            " FROM alert_transactions JOIN transactions USING (transaction_id)"
            " WHERE alert_id = :id ORDER BY event_time, transaction_id"
        ),
        {"id": alert_id},
    ).all()
    decisions = connection.execute(
        text(
            "SELECT tx_count, decided_by, outcome, score, reason, verdicts, decided_at FROM decisions"
            " WHERE alert_id = :id ORDER BY decided_at NULLS LAST, tx_count"
        ),
        {"id": alert_id},
    ).all()
    return AlertFile(AlertLine(*row), transactions, decisions)


def resolve_alert(connection: Connection, alert_id: str, status: str, *, who: str, why: str) -> str:
    """Set an alert to confirmed, dismissed or open again; returns the status before. Raises NoSuchAlert."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": STORE_LOCK})
    found = connection.execute(
        text("SELECT status, tx_count, outcome FROM fraud_alerts WHERE alert_id = :id FOR UPDATE"), {"id": alert_id}
    ).first()
    if found is None:
        raise NoSuchAlert(f"there is no alert {alert_id}")
    connection.execute(
        text("UPDATE fraud_alerts SET status = :status, updated_at = clock_timestamp() WHERE alert_id = :id"),
        {"status": status, "id": alert_id},
    )
    connection.execute(
        text(
            "INSERT INTO decisions (alert_id, tx_count, decided_by, action_no, outcome, reason, evidence, decided_at)"
            " SELECT :id, :tx_count, :decided_by, count(*), :outcome, :why,"
            " jsonb_build_object('before', CAST(:before AS TEXT), 'after', CAST(:status AS TEXT)), clock_timestamp()"
            " FROM decisions WHERE alert_id = :id AND decided_by LIKE 'analyst:%'"
        ),
        {
            "id": alert_id,
            "tx_count": found.tx_count,
            "decided_by": f"analyst:{who}",
            "outcome": "reopened" if status == "open" else status,
            "why": why,
            "before": found.status,
            "status": status,
        },
    )
    transactions = "ARRAY(SELECT transaction_id FROM alert_transactions WHERE alert_id = :id)"
    connection.execute(text(MARK_FRAUD.format(transactions=transactions)), {"id": alert_id})
    return str(found.status)
