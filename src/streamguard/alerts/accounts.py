"""Accounts, merchants and devices as people look at them: found by the beginning of their names, and in profile.

Every statement uses an index, and reads at most some thousand rows, however many transactions are stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, text

from streamguard.alerts.context import AMOUNTS_SHOWN, AccountAmount
from streamguard.database.rows import columns_of, select_as

NEWEST = 2_000
"""What accounts, merchants and devices use is counted over so many of their newest transactions."""
MOST_COUNTED = 10_000
PAGE = 50


@dataclass(frozen=True)
class RiskProfile:
    """A row of the view `account_risk_profile`; amounts are summed whatever their currency, `fraud_rate` is 0 to 1."""

    account_id: str
    transactions: int
    total_amount: Decimal
    average_amount: Decimal
    highest_amount: Decimal
    fraud_transactions: int
    fraud_rate: Decimal
    alerts: int
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True)
class Used:
    """A device, merchant, place or currency among the newest transactions of somebody."""

    value: str
    label: str | None
    transactions: int
    flagged: int
    last_seen: datetime


@dataclass(frozen=True)
class StoredLine:
    """A transaction in a list, and where its record is."""

    transaction_id: str
    account_id: str
    event_time: datetime
    amount: Decimal
    currency: str
    merchant_id: str | None
    merchant_name: str | None
    city: str | None
    country: str | None
    device_id: str | None
    channel: str | None
    is_fraud: bool
    source_partition: int
    source_offset: int


@dataclass(frozen=True)
class AlertLine:
    """An alert in a list."""

    alert_id: str
    rule: str
    account_id: str
    detected_at: datetime
    score: int | None
    outcome: str | None
    status: str
    amount: Decimal | None
    tx_count: int


@dataclass(frozen=True)
class Listing:
    """An entry of a list that names somebody."""

    list: str
    kind: str
    value: str
    reason: str
    expires_at: datetime | None


@dataclass(frozen=True)
class OpenAccount:
    """An account with open alerts."""

    account_id: str
    alerts: int
    highest_score: int | None
    newest: datetime


ACCOUNT, MERCHANT, DEVICE = "account", "merchant", "device"
_COLUMN = {ACCOUNT: "account_id", MERCHANT: "merchant_id", DEVICE: "device_id"}

# One look into the index for each value, not one for each transaction.
_BEGIN_WITH = """
WITH RECURSIVE found AS (
    (SELECT {column} AS value FROM {table} WHERE {column} >= :start ORDER BY {column} LIMIT 1)
    UNION ALL
    SELECT (SELECT t.{column} FROM {table} t WHERE t.{column} > found.value ORDER BY t.{column} LIMIT 1)
    FROM found WHERE found.value LIKE :pattern
)
SELECT value FROM found WHERE value LIKE :pattern LIMIT :most
"""
_USED = """
SELECT {value} AS value, {label} AS label, count(*) AS transactions, count(*) FILTER (WHERE is_fraud) AS flagged,
    max(event_time) AS last_seen
FROM (SELECT * FROM transactions WHERE {column} = :id ORDER BY event_time DESC LIMIT :newest) AS newest
WHERE {value} IS NOT NULL GROUP BY 1 ORDER BY transactions DESC, last_seen DESC LIMIT 8
"""
_LINES = """
SELECT {columns} FROM transactions WHERE {column} = :id {flagged} ORDER BY event_time DESC, transaction_id
LIMIT :size OFFSET :offset
"""
_COUNT = "SELECT count(*) FROM (SELECT FROM transactions WHERE {column} = :id {flagged} ORDER BY event_time DESC LIMIT :most) t"
_AMOUNTS = f"""
SELECT {columns_of(AccountAmount)} FROM (
    SELECT *, is_fraud AS flagged FROM transactions WHERE account_id = :id ORDER BY event_time DESC LIMIT {AMOUNTS_SHOWN}
) AS newest ORDER BY event_time
"""
_ALERTS_OF_ACCOUNT = f"""
SELECT {columns_of(AlertLine)} FROM fraud_alerts WHERE account_id = :id ORDER BY detected_at DESC, alert_id LIMIT 30
"""
# OFFSET 0: by the index, where Postgres would rather read the whole table.
_ALERTS_OF_OTHERS = f"""
SELECT {columns_of(AlertLine)} FROM fraud_alerts WHERE alert_id IN (
    SELECT l.alert_id FROM (
        SELECT transaction_id FROM transactions WHERE {{column}} = :id ORDER BY event_time DESC LIMIT :newest
    ) AS newest CROSS JOIN LATERAL (
        SELECT alert_id FROM alert_transactions WHERE transaction_id = newest.transaction_id OFFSET 0
    ) l
) ORDER BY detected_at DESC, alert_id LIMIT 30
"""
_OPEN = """
SELECT account_id, count(*) AS alerts, max(score) AS highest_score, max(detected_at) AS newest
FROM fraud_alerts WHERE status = 'open' AND outcome IS DISTINCT FROM 'dismiss' GROUP BY account_id
ORDER BY max(score) DESC NULLS LAST, count(*) DESC, account_id LIMIT 50
"""
_NAMED = """
SELECT DISTINCT merchant_id FROM (
    SELECT merchant_id, merchant_name FROM transactions ORDER BY event_time DESC LIMIT 20000
) AS newest WHERE merchant_name ILIKE :pattern ORDER BY merchant_id LIMIT :most
"""


def begin_with(connection: Connection, kind: str, start: str, most: int = 12) -> list[str]:
    """Accounts, merchants or devices whose id begins with `start`, in their order; `kind` is ACCOUNT, MERCHANT or DEVICE."""
    statement = _BEGIN_WITH.format(table="transactions", column=_COLUMN[kind])
    return _found(connection, statement, start, most)


def alerts_begin_with(connection: Connection, start: str, most: int = 12) -> list[str]:
    """Ids of alerts that begin so."""
    return _found(connection, _BEGIN_WITH.format(table="fraud_alerts", column="alert_id"), start, most)


def merchants_named(connection: Connection, name: str, most: int = 12) -> list[str]:
    """Merchants of the 20,000 newest transactions whose name contains a text."""
    values = {"pattern": f"%{_escaped(name)}%", "most": most}
    return [row.merchant_id for row in connection.execute(text(_NAMED), values) if row.merchant_id is not None]


def account_of_transaction(connection: Connection, transaction_id: str) -> str | None:
    """Whose transaction it is; None where it is not stored."""
    statement = text("SELECT account_id FROM transactions WHERE transaction_id = :id")
    found = connection.execute(statement, {"id": transaction_id}).scalar()
    return None if found is None else str(found)


def accounts_with_open_alerts(connection: Connection) -> list[OpenAccount]:
    """The 50 accounts whose open alerts have the highest scores."""
    return select_as(connection, OpenAccount, text(_OPEN))


def risk_profile(connection: Connection, account_id: str) -> RiskProfile | None:
    """The account's row of the view `account_risk_profile`; None without a stored transaction."""
    statement = text(f"SELECT {columns_of(RiskProfile)} FROM account_risk_profile WHERE account_id = :id")
    found = select_as(connection, RiskProfile, statement, {"id": account_id})
    return found[0] if found else None


def used(connection: Connection, kind: str, value: str, what: str) -> list[Used]:
    """What somebody uses most: `what` is account, merchant, device, place, currency or channel."""
    columns = {
        ACCOUNT: ("account_id", "NULL"),
        MERCHANT: ("merchant_id", "max(merchant_name)"),
        DEVICE: ("device_id", "NULL"),
        "place": ("city", "max(country)"),
        "currency": ("currency", "NULL"),
        "channel": ("channel", "NULL"),
    }
    name, label = columns[what]
    statement = text(_USED.format(value=name, label=label, column=_COLUMN[kind]))
    return select_as(connection, Used, statement, {"id": value, "newest": NEWEST})


def transactions_of(
    connection: Connection, kind: str, value: str, *, page: int = 1, flagged: bool = False
) -> list[StoredLine]:
    """A page of transactions, the newest first; one more than PAGE where there is a further page."""
    statement = _LINES.format(columns=columns_of(StoredLine), column=_COLUMN[kind], flagged=_flagged(flagged))
    fields = {"id": value, "size": PAGE + 1, "offset": (page - 1) * PAGE}
    return select_as(connection, StoredLine, text(statement), fields)


def count_transactions(connection: Connection, kind: str, value: str, *, flagged: bool = False) -> int:
    """How many transactions there are, counted up to MOST_COUNTED."""
    statement = _COUNT.format(column=_COLUMN[kind], flagged=_flagged(flagged))
    return int(connection.execute(text(statement), {"id": value, "most": MOST_COUNTED}).scalar_one())


def amounts_of_account(connection: Connection, account_id: str) -> list[AccountAmount]:
    """The newest transactions of an account by time, those that count as fraud flagged."""
    return select_as(connection, AccountAmount, text(_AMOUNTS), {"id": account_id})


def alerts_of(connection: Connection, kind: str, value: str) -> list[AlertLine]:
    """The 30 newest alerts of an account, or of the newest transactions of a merchant or device."""
    if kind == ACCOUNT:
        return select_as(connection, AlertLine, text(_ALERTS_OF_ACCOUNT), {"id": value})
    statement = text(_ALERTS_OF_OTHERS.format(column=_COLUMN[kind]))
    return select_as(connection, AlertLine, statement, {"id": value, "newest": NEWEST})


def listings_of(connection: Connection, kind: str, value: str) -> list[Listing]:
    """The entries of the lists that name it."""
    statement = text(f"SELECT {columns_of(Listing)} FROM lists WHERE value = :value AND kind = :kind ORDER BY list")
    return select_as(connection, Listing, statement, {"value": value, "kind": kind})


def _flagged(flagged: bool) -> str:
    return "AND is_fraud" if flagged else ""


def _found(connection: Connection, statement: str, start: str, most: int) -> list[str]:
    values = {"start": start, "pattern": f"{_escaped(start)}%", "most": most}
    return [str(row.value) for row in connection.execute(text(statement), values)]


def _escaped(part: str) -> str:
    return part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
