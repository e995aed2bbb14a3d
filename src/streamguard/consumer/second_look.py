"""A second look at alerts that were stored beside other members: what those stored at that moment was not to be seen.

Only versions that wait for a transaction, are refused, or were judged by one that came between two statements can miss something
so (`streamguard.consumer.exclusion`). Their alerts are noted with the batch. Once every database transaction that ran when the
note was there has ended, a look sees all there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamguard.database.rows import fetch

_UNLINKED = """NOT EXISTS (
    SELECT FROM alert_transactions l WHERE l.alert_id = v.alert_id AND l.transaction_id = v.transaction_id)"""

_NOTE = f"""
INSERT INTO alerts_to_check (alert_id)
SELECT DISTINCT alert_id FROM alert_versions v
WHERE alert_id = ANY(%(alerts)s) AND v.transaction_id IS NOT NULL AND (refused_topic IS NOT NULL OR {_UNLINKED})
ON CONFLICT (alert_id) DO UPDATE SET running_before = NULL
"""

# Transactions that write have numbers; from xmax on there was none at that moment, and below xmin all have ended.
_NUMBER = """
UPDATE alerts_to_check SET running_before = pg_snapshot_xmax(pg_current_snapshot())::TEXT::BIGINT
WHERE alert_id IN (SELECT alert_id FROM alerts_to_check WHERE running_before IS NULL FOR UPDATE SKIP LOCKED)
"""

_ANY = "SELECT EXISTS (SELECT FROM alerts_to_check) AS any_noted"

_MOST = 10_000
"""At a time: a batch of the same accounts waits meanwhile."""

_RIPE = f"""
SELECT alert_id, account_id FROM alerts_to_check JOIN fraud_alerts USING (alert_id)
WHERE running_before <= pg_snapshot_xmin(pg_current_snapshot())::TEXT::BIGINT LIMIT {_MOST}
"""

_TAKE = """
DELETE FROM alerts_to_check
WHERE alert_id = ANY(%(alerts)s) AND running_before <= pg_snapshot_xmin(pg_current_snapshot())::TEXT::BIGINT RETURNING alert_id
"""

# The others wait for a transaction that nobody has stored or refused, or have been decided since.
_CONCERNED = f"""
SELECT DISTINCT v.alert_id FROM alert_versions v
WHERE v.alert_id = ANY(%(alerts)s) AND (v.refused_topic IS NOT NULL OR {_UNLINKED} AND (
    EXISTS (SELECT FROM transactions t WHERE t.transaction_id = v.transaction_id)
    OR EXISTS (SELECT FROM dead_letters d WHERE d.transaction_id = v.transaction_id)))
"""


@dataclass(frozen=True, slots=True)
class Noted:
    """An alert that is to be looked at again."""

    alert_id: str
    account_id: str


def note(cursor: Any, alerts: Sequence[str]) -> None:
    """Note those of the alerts, just stored, that may have missed something."""
    cursor.execute(_NOTE, {"alerts": list(alerts)})


def any_noted(cursor: Any) -> bool:
    """Whether an alert is noted."""
    cursor.execute(_ANY)
    [(found,)] = cursor.fetchall()
    return bool(found)


def number(cursor: Any) -> None:
    """Say of new notes from when on nothing is missing."""
    cursor.execute(_NUMBER)


def number_anew(cursor: Any) -> None:
    """At a start: the numbers may be those of the server that a backup was made on."""
    cursor.execute("UPDATE alerts_to_check SET running_before = NULL WHERE running_before IS NOT NULL")


def ripe(cursor: Any) -> list[Noted]:
    """The alerts to which nothing of the moment of their note is invisible any more."""
    cursor.execute(_RIPE)
    return fetch(cursor, Noted)


def take(cursor: Any, noted: Sequence[Noted]) -> list[str]:
    """Remove the notes, as far as no other member has; the alerts for which there is something to do."""
    cursor.execute(_TAKE, {"alerts": [one.alert_id for one in noted]})
    cursor.execute(_CONCERNED, {"alerts": [alert_id for (alert_id,) in cursor.fetchall()]})
    return [alert_id for (alert_id,) in cursor.fetchall()]
