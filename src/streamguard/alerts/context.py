"""What is known around an alert: its account, the amounts of the account, what it shares with others, alerts like it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from streamguard.database.rows import columns_of, select_as

AMOUNTS_SHOWN = 200
SHARED_OVER_DAYS = 30


@dataclass(frozen=True)
class AccountSummary:
    """An account in one line; `first_seen` is None for one without a stored transaction."""

    account_id: str
    transactions: int
    first_seen: datetime | None
    alerts: int
    confirmed: int
    dismissed: int


@dataclass(frozen=True)
class Evidence:
    """A transaction of an alert, and where its record is."""

    transaction_id: str
    event_time: datetime
    amount: Decimal
    currency: str
    merchant_id: str | None
    merchant_name: str | None
    city: str | None
    country: str | None
    channel: str | None
    device_id: str | None
    ip_address: str | None
    source_partition: int
    source_offset: int


@dataclass(frozen=True)
class AccountAmount:
    """A transaction of the account as a dot; `flagged` where the alert is about it."""

    transaction_id: str
    event_time: datetime
    amount: Decimal
    currency: str
    flagged: bool


@dataclass(frozen=True)
class Shared:
    """A device or merchant that other accounts use too, of the last days; `frauds` of these accounts have confirmed fraud."""

    kind: str
    value: str
    label: str
    accounts: int
    frauds: int


@dataclass(frozen=True)
class OtherAlert:
    """Another alert of the account, or of the same rule at the same merchant."""

    alert_id: str
    rule: str
    account_id: str
    detected_at: datetime
    score: int | None
    outcome: str | None
    status: str
    duplicate_of: str | None
    amount: Decimal | None


_SUMMARY = """
SELECT CAST(:account AS TEXT) AS account_id, t.transactions, t.first_seen, a.alerts, a.confirmed, a.dismissed
FROM (SELECT count(*) AS transactions, min(event_time) AS first_seen FROM transactions WHERE account_id = :account) t,
    (SELECT count(*) AS alerts, count(*) FILTER (WHERE status = 'confirmed') AS confirmed,
        count(*) FILTER (WHERE status = 'dismissed') AS dismissed FROM fraud_alerts WHERE account_id = :account) a
"""
_EVIDENCE = f"""
SELECT {columns_of(Evidence)} FROM alert_transactions JOIN transactions USING (transaction_id)
WHERE alert_id = :id ORDER BY event_time, transaction_id LIMIT :most
"""
_PERSONAL = """
SELECT DISTINCT v.value FROM alert_transactions JOIN transactions t USING (transaction_id)
CROSS JOIN LATERAL (VALUES (t.device_id), (t.ip_address)) AS v (value) WHERE alert_id = :id AND v.value IS NOT NULL
"""
_AMOUNTS = f"""
SELECT {columns_of(AccountAmount)} FROM (
    SELECT t.*, l.alert_id IS NOT NULL AS flagged
    FROM transactions t LEFT JOIN alert_transactions l ON l.transaction_id = t.transaction_id AND l.alert_id = :id
    WHERE t.account_id = :account ORDER BY t.event_time DESC LIMIT {AMOUNTS_SHOWN}
) AS newest ORDER BY event_time
"""
_SHARED = f"""
SELECT kind, value, label, count(*) AS accounts, count(*) FILTER (WHERE fraud) AS frauds
FROM (
    SELECT own.kind, own.value, own.label, other.account_id,
        EXISTS (SELECT FROM fraud_alerts a WHERE a.account_id = other.account_id AND a.status = 'confirmed') AS fraud
    FROM (
        SELECT DISTINCT 'device' AS kind, device_id AS value, device_id AS label, max(event_time) OVER () AS newest
        FROM alert_transactions JOIN transactions USING (transaction_id) WHERE alert_id = :id AND device_id IS NOT NULL
    ) own
    CROSS JOIN LATERAL (
        SELECT DISTINCT account_id FROM transactions t
        WHERE t.device_id = own.value AND t.account_id <> :account
            AND t.event_time > own.newest - INTERVAL '{SHARED_OVER_DAYS} days'
        LIMIT 100
    ) other
) AS others GROUP BY kind, value, label ORDER BY accounts DESC LIMIT 5
"""
_OTHERS = f"""
SELECT {columns_of(OtherAlert)} FROM fraud_alerts WHERE account_id = :account AND alert_id <> :id
ORDER BY duplicate_of IS NOT DISTINCT FROM :id DESC, detected_at DESC LIMIT 8
"""
# What says the same was raised about the same time.
_ORIGINALS = f"""
SELECT {columns_of(OtherAlert)} FROM (
    SELECT a.*, i.nearest FROM fraud_alerts a JOIN (
        SELECT account_id, min(detected_at) AS nearest FROM fraud_alerts WHERE alert_id = ANY(:ids) GROUP BY account_id
    ) i USING (account_id)
) AS others
WHERE status <> 'duplicate' AND alert_id <> ALL(:ids) AND (strpos(lower(alert_id), :part) > 0
    OR strpos(replace(lower(rule), '_', ' '), :part) > 0)
ORDER BY abs(extract(epoch FROM detected_at - nearest)), alert_id LIMIT :most
"""


def account_summary(connection: Connection, account_id: str) -> AccountSummary:
    """The account in one line."""
    return select_as(connection, AccountSummary, text(_SUMMARY), {"account": account_id})[0]


def evidence_of(connection: Connection, alert_id: str, most: int = 200) -> list[Evidence]:
    """The transactions of an alert by time."""
    return select_as(connection, Evidence, text(_EVIDENCE), {"id": alert_id, "most": most})


def personal_values(connection: Connection, alert_id: str) -> list[str]:
    """The devices and addresses of an alert's transactions: what texts about it may name."""
    return list(connection.execute(text(_PERSONAL), {"id": alert_id}).scalars())


def amounts_of(connection: Connection, account_id: str, alert_id: str = "") -> list[AccountAmount]:
    """The newest transactions of an account by time."""
    return select_as(connection, AccountAmount, text(_AMOUNTS), {"account": account_id, "id": alert_id})


def shared_with_others(connection: Connection, alert_id: str, account_id: str) -> list[Shared]:
    """Devices of the alert that other accounts use too."""
    return select_as(connection, Shared, text(_SHARED), {"id": alert_id, "account": account_id})


def other_alerts(connection: Connection, alert_id: str, account_id: str) -> list[OtherAlert]:
    """Other alerts of the account: its duplicates, then the newest."""
    return select_as(connection, OtherAlert, text(_OTHERS), {"id": alert_id, "account": account_id})


def originals_for(connection: Connection, alert_ids: list[str], part: str = "", most: int = 12) -> list[OtherAlert]:
    """Alerts of the same account that these may repeat, with `part` in their id or rule: the nearest in time first."""
    values = {"ids": alert_ids, "part": part.lower(), "most": most}
    return select_as(connection, OtherAlert, text(_ORIGINALS), values)
