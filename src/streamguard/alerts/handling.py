"""How analysts share the work on alerts: assign, snooze, escalate, write notes. Each is one row of the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from streamguard.alerts.actions import NoSuchAlert
from streamguard.config import UserError
from streamguard.database.locks import Lock
from streamguard.database.rows import columns_of, select_as
from streamguard.users import audit

LONGEST_NOTE = 4_000


class WrongHandling(UserError):
    """What was asked makes no sense for this alert."""


@dataclass(frozen=True)
class Note:
    """What somebody wrote on an alert."""

    note_no: int
    written_by: str
    written_at: datetime
    note: str


def assign(connection: Connection, alert_id: str, assignee: str | None, *, who: str) -> None:
    """Give an alert to a user, or to nobody. Raises NoSuchAlert, WrongHandling."""
    if (
        assignee is not None
        and not connection.execute(
            text("SELECT EXISTS (SELECT FROM users WHERE user_name = :name AND disabled_at IS NULL)"),
            {"name": assignee},
        ).scalar()
    ):
        raise WrongHandling(f"there is no user {assignee}")
    before = _change(connection, alert_id, {"assignee": assignee})
    audit.note(
        connection,
        who,
        "alerts.assign",
        f"alert {alert_id}",
        before={"assignee": before["assignee"]},
        after={"assignee": assignee},
    )


def snooze(connection: Connection, alert_id: str, minutes: int, *, who: str, why: str) -> None:
    """Put an alert aside for some minutes; 0 takes it back. Raises NoSuchAlert, WrongHandling."""
    if not 0 <= minutes <= 30 * 24 * 60:
        raise WrongHandling("an alert is put aside for at most 30 days")
    until = None
    if minutes:
        now = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        until = now + timedelta(minutes=minutes)
    _change(connection, alert_id, {"snoozed_until": until})
    audit.note(connection, who, "alerts.snooze", f"alert {alert_id}", reason=why, after={"until": until})


def escalate(connection: Connection, alert_id: str, *, who: str, why: str) -> None:
    """Ask a lead. Raises NoSuchAlert."""
    now = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    _change(connection, alert_id, {"escalated_by": who, "escalated_at": now})
    audit.note(connection, who, "alerts.escalate", f"alert {alert_id}", reason=why)


def write_note(connection: Connection, alert_id: str, note: str, *, who: str) -> None:
    """Add a note. Raises NoSuchAlert, WrongHandling."""
    if not note.strip() or len(note) > LONGEST_NOTE:
        raise WrongHandling(f"a note has 1 to {LONGEST_NOTE:,} characters")
    _change(connection, alert_id, {})
    connection.execute(
        text("INSERT INTO alert_notes (alert_id, written_by, note) VALUES (:id, :who, :note)"),
        {"id": alert_id, "who": who, "note": note.strip()},
    )
    audit.note(connection, who, "alerts.note", f"alert {alert_id}")


def notes_of(connection: Connection, alert_id: str) -> list[Note]:
    """The notes of an alert, the oldest first."""
    statement = text(f"SELECT {columns_of(Note)} FROM alert_notes WHERE alert_id = :id ORDER BY note_no")
    return select_as(connection, Note, statement, {"id": alert_id})


def _change(connection: Connection, alert_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Change the handling of an alert, and its version with it; returns what it was."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": Lock.STORE})
    found = connection.execute(
        text("UPDATE fraud_alerts SET updated_at = clock_timestamp() WHERE alert_id = :id"), {"id": alert_id}
    )
    if not found.rowcount:
        raise NoSuchAlert(f"there is no alert {alert_id}")
    connection.execute(
        text("INSERT INTO alert_handling (alert_id) VALUES (:id) ON CONFLICT DO NOTHING"), {"id": alert_id}
    )
    before = connection.execute(text("SELECT * FROM alert_handling WHERE alert_id = :id"), {"id": alert_id}).mappings()
    row = dict(before.one())
    if values:
        settings = ", ".join(f"{name} = :{name}" for name in values)
        connection.execute(
            text(f"UPDATE alert_handling SET {settings} WHERE alert_id = :id"), {"id": alert_id, **values}
        )
    return row
