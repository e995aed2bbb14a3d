"""The outbox: records that are written in the database transaction of the rows that they tell of, and sent afterwards.

`consumer.publisher` sends them, once each, and removes them. Writers are the store (dead letters), the judge and the
analysts (decisions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg2.extras import execute_values

from streamguard.database.rows import fetch_values
from streamguard.models import Decision


@dataclass(frozen=True)
class NewDecision:
    """A row of `decisions` before it is stored. `verdicts` is JSON."""

    alert_id: str
    tx_count: int
    decided_by: str
    action_no: int
    transaction_id: str | None
    outcome: str
    score: int | None
    reason: str | None
    verdicts: str
    status_before: str | None = None
    rule_set_no: int | None = None
    """What the rules decided with, of `rule_sets`; None for the decisions of others."""
    list_change_no: int | None = None
    """The newest change of the lists that was seen."""


_COLUMNS = tuple(NewDecision.__dataclass_fields__)

_SAVE_DECISIONS = f"""
WITH saved AS (INSERT INTO decisions ({", ".join(_COLUMNS)}) VALUES %s RETURNING *)
SELECT {", ".join(("a." if name in ("rule", "account_id") else "s.") + name for name in Decision.model_fields)}
FROM (SELECT alert_id, tx_count, transaction_id, outcome, score, reason, verdicts, decided_by,
        (extract(epoch FROM decided_at) * 1000)::BIGINT AS decided_at, action_no FROM saved) s
JOIN fraud_alerts a USING (alert_id)
ORDER BY s.alert_id, s.tx_count, s.action_no
"""


def save_decisions(cursor: Any, decisions: Sequence[NewDecision], topic: str) -> None:
    """Store decisions and put their records for `topic` into the outbox."""
    if not decisions:
        return
    rows = [tuple(getattr(decision, name) for name in _COLUMNS) for decision in decisions]
    saved = fetch_values(cursor, Decision, _SAVE_DECISIONS, rows)
    add(cursor, topic, [(decision.account_id.encode(), decision.to_json()) for decision in saved])


def add(cursor: Any, topic: str, records: Sequence[tuple[bytes | None, bytes]]) -> None:
    """Put records, each a key and a value, into the outbox."""
    if records:
        rows = [(topic, key, value) for key, value in records]
        execute_values(cursor, "INSERT INTO outbox (topic, key, value) VALUES %s", rows, page_size=len(rows))
