"""What an analyst does with alerts: list, look, confirm, dismiss. The command line and the desk call the same.

Every action is a row in `decisions`, with who, when, why and the status before, and a record of the topic `decisions`.
`is_fraud` follows in the same database transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from streamguard.config import UserError
from streamguard.database.fraud import MARK_FRAUD
from streamguard.database.locks import Lock
from streamguard.database.outbox import NewDecision, save_decisions
from streamguard.database.rows import columns_of, select_as

MOST_DEAD_LETTERS = 50
"""So many are shown with an alert; one more says that there are more."""


class NoSuchAlert(UserError):
    """No alert has this id."""


class AlertChanged(UserError):
    """The alert is not any more what was looked at; the sentence says what changed."""


@dataclass(frozen=True)
class AlertLine:
    """An alert in a list; `currency` is that of the transaction that raised it, None until it is stored.

    `refusal` is why its newest settled version cannot be judged, where its outcome is `refused`: the dead letter's
    topic/partition/offset and reason. `mode` is that of its rule now: only the alerts of an active rule count as fraud
    before an analyst confirms them.
    """

    alert_id: str
    rule: str
    account_id: str
    amount: Decimal | None
    currency: str | None
    tx_count: int
    detected_at: datetime
    outcome: str | None
    score: int | None
    status: str
    refusal: str | None = None
    mode: str = "active"


@dataclass(frozen=True)
class AlertTransaction:
    """A transaction of an alert."""

    transaction_id: str
    event_time: datetime
    amount: Decimal
    currency: str
    merchant_name: str | None
    city: str | None
    country: str | None


@dataclass(frozen=True)
class AlertDecision:
    """What the rules or an analyst decided, or that the consumer refused the version's transaction; `outcome` and
    `decided_at` are None while a version waits."""

    tx_count: int
    decided_by: str
    outcome: str | None
    score: int | None
    reason: str | None
    verdicts: list[Any]
    decided_at: datetime | None


@dataclass(frozen=True)
class AlertDeadLetter:
    """A dead letter with the id of a transaction of an alert: what refused a version, or a repetition that the rule counted.

    `place` is its topic/partition/offset.
    """

    place: str
    transaction_id: str
    reason: str


@dataclass(frozen=True)
class AlertFile:
    """An alert with all that belongs to it: its transactions by time, its decisions in their order, its dead letters."""

    line: AlertLine
    transactions: Sequence[AlertTransaction]
    decisions: Sequence[AlertDecision]
    dead_letters: Sequence[AlertDeadLetter]


_LINES = f"""
SELECT {columns_of(AlertLine)} FROM (
    SELECT a.*, t.currency, r.reason AS refusal, coalesce(m.mode, 'active') AS mode
    FROM fraud_alerts a LEFT JOIN transactions t USING (transaction_id)
    LEFT JOIN rule_modes m ON m.rule = a.rule
    LEFT JOIN LATERAL (
        SELECT reason FROM decisions d WHERE d.alert_id = a.alert_id AND d.outcome = 'refused'
        ORDER BY d.tx_count DESC LIMIT 1
    ) r ON a.outcome = 'refused'
) AS lines
"""
_LIST = f"""
{_LINES}
WHERE (CAST(:status AS TEXT) IS NULL OR status = :status) AND (CAST(:account AS TEXT) IS NULL OR account_id = :account)
ORDER BY detected_at DESC, alert_id LIMIT :limit
"""
_TRANSACTIONS = f"""
SELECT {columns_of(AlertTransaction)} FROM alert_transactions JOIN transactions USING (transaction_id)
WHERE alert_id = :id ORDER BY event_time, transaction_id
"""
_DECISIONS = """
SELECT tx_count, decided_by, outcome, score, reason, verdicts, decided_at FROM decisions WHERE alert_id = :id
UNION ALL
SELECT tx_count, 'rules', NULL, NULL, NULL, '[]', NULL FROM alert_versions WHERE alert_id = :id AND NOT judged
ORDER BY decided_at NULLS LAST, tx_count
"""
_DEAD_LETTERS = f"""
SELECT {columns_of(AlertDeadLetter)} FROM (
    SELECT d.*, d.source_topic || '/' || d.source_partition || '/' || d.source_offset AS place
    FROM dead_letters d JOIN fraud_alerts a ON a.alert_id = :id AND coalesce(d.account_id = a.account_id, TRUE)
    WHERE d.transaction_id IN (
        SELECT transaction_id FROM alert_versions WHERE alert_id = :id
        UNION SELECT transaction_id FROM alert_transactions WHERE alert_id = :id)
) d
ORDER BY source_topic, source_offset, source_partition LIMIT {MOST_DEAD_LETTERS + 1}
"""


def list_alerts(
    connection: Connection, *, limit: int = 20, status: str | None = None, account: str | None = None
) -> list[AlertLine]:
    """The newest alerts first, of one status or account where asked for."""
    return select_as(connection, AlertLine, text(_LIST), {"status": status, "account": account, "limit": limit})


def show_alert(connection: Connection, alert_id: str) -> AlertFile:
    """One alert with its transactions and decisions. Raises NoSuchAlert."""
    place = {"id": alert_id}
    lines = select_as(connection, AlertLine, text(f"{_LINES} WHERE alert_id = :id"), place)
    if not lines:
        raise NoSuchAlert(f"there is no alert {alert_id}")
    return AlertFile(
        lines[0],
        select_as(connection, AlertTransaction, text(_TRANSACTIONS), place),
        select_as(connection, AlertDecision, text(_DECISIONS), place),
        select_as(connection, AlertDeadLetter, text(_DEAD_LETTERS), place),
    )


def resolve_alert(
    connection: Connection,
    alert_id: str,
    status: str,
    *,
    who: str,
    why: str,
    topic: str,
    seen: datetime | None = None,
) -> str:
    """Set an alert to confirmed, dismissed or open again; returns the status before. Raises NoSuchAlert.

    The decision is put into the outbox for `topic`. `seen` is the `updated_at` of the alert that was looked at: where it has
    changed since, AlertChanged is raised.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": Lock.STORE})
    found = connection.execute(
        text("SELECT status, tx_count, updated_at FROM fraud_alerts WHERE alert_id = :id FOR UPDATE"), {"id": alert_id}
    ).first()
    if found is None:
        raise NoSuchAlert(f"there is no alert {alert_id}")
    if seen is not None and found.updated_at != seen:
        raise AlertChanged(f"{alert_id} has changed since you opened it: {_changes_since(connection, alert_id, seen)}")
    connection.execute(
        text("UPDATE fraud_alerts SET status = :status, updated_at = clock_timestamp() WHERE alert_id = :id"),
        {"status": status, "id": alert_id},
    )
    actions = connection.execute(
        text("SELECT count(*) FROM decisions WHERE alert_id = :id AND decided_by LIKE 'analyst:%'"), {"id": alert_id}
    ).scalar_one()
    decision = NewDecision(
        alert_id=alert_id,
        tx_count=found.tx_count,
        decided_by=f"analyst:{who}",
        action_no=actions,
        transaction_id=None,
        outcome="reopened" if status == "open" else status,
        score=None,
        reason=why,
        verdicts="[]",
        status_before=found.status,
    )
    cursor = connection.connection.cursor()
    save_decisions(cursor, [decision], topic)
    cursor.execute("SELECT transaction_id FROM alert_transactions WHERE alert_id = %s", (alert_id,))
    cursor.execute(MARK_FRAUD, {"transactions": [transaction_id for (transaction_id,) in cursor.fetchall()]})
    return str(found.status)


_SINCE = """
SELECT CASE WHEN decided_by LIKE 'analyst:%' THEN substr(decided_by, 9) || ' ' || outcome || ' it'
    ELSE 'the rules say ' || outcome || ' over ' || tx_count || ' transactions' END AS what, decided_at AS at
FROM decisions WHERE alert_id = :id AND decided_at > :seen
UNION ALL
SELECT written_by || ' wrote a note', written_at FROM alert_notes WHERE alert_id = :id AND written_at > :seen
UNION ALL
SELECT done_by || ' did ' || action, done_at FROM audit_log
WHERE subject = 'alert ' || :id AND done_at > :seen AND action NOT IN ('alerts.note', 'alerts.decide')
ORDER BY at
"""


def _changes_since(connection: Connection, alert_id: str, seen: datetime) -> str:
    found = connection.execute(text(_SINCE), {"id": alert_id, "seen": seen})
    return "; ".join(f"{row.what} at {row.at:%H:%M:%S} UTC" for row in found) or "it has further evidence"
