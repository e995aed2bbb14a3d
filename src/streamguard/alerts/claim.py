"""What an alert states, as the database has it: what `streamguard alerts verify` compares with the topics."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, text

from streamguard.alerts.actions import NoSuchAlert
from streamguard.database.rows import select_as


@dataclass(frozen=True)
class Claim:
    """The newest version of an alert. Times in epoch milliseconds; the window is [start_ms, end_ms).

    `first_stored_ms` and `last_stored_ms` are when the alert was stored, and when its row last changed. `replaced_ms` is when
    its rule was first replaced by other SQL after that, None if it was not.
    """

    alert_id: str
    rule: str
    account_id: str
    transaction_id: str | None
    amount: Decimal | None
    tx_count: int
    start_ms: int | None
    end_ms: int | None
    first_stored_ms: int
    last_stored_ms: int
    replaced_ms: int | None = None

    @property
    def is_window(self) -> bool:
        """Whether it is about a window, not about one transaction."""
        return self.start_ms is not None and self.end_ms is not None and self.end_ms > self.start_ms


_CLAIM = """
SELECT alert_id, rule, account_id, transaction_id, amount, tx_count,
    CAST(extract(epoch FROM window_start) * 1000 AS BIGINT) AS start_ms,
    CAST(extract(epoch FROM window_end) * 1000 AS BIGINT) AS end_ms,
    CAST(extract(epoch FROM created_at) * 1000 AS BIGINT) AS first_stored_ms,
    CAST(extract(epoch FROM updated_at) * 1000 AS BIGINT) AS last_stored_ms,
    (SELECT CAST(extract(epoch FROM min(r.replaced_at)) * 1000 AS BIGINT) FROM rule_replacements r
        WHERE r.rule = a.rule AND r.replaced_at > a.created_at) AS replaced_ms
FROM fraud_alerts a WHERE alert_id = :id
"""


def claim_of(connection: Connection, alert_id: str) -> Claim:
    """The alert as stored. Raises NoSuchAlert."""
    claims = select_as(connection, Claim, text(_CLAIM), {"id": alert_id})
    if not claims:
        raise NoSuchAlert(f"there is no alert {alert_id}")
    return claims[0]
