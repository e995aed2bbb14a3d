"""The log of what people did: a row in the database transaction that did it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, text

from streamguard.database.rows import columns_of, select_as


@dataclass(frozen=True)
class AuditEntry:
    """One row; `subject` names what was changed, such as `alert HIGH_AMOUNT:TX-1` or `user ana`."""

    entry_no: int
    done_at: datetime
    done_by: str
    action: str
    subject: str
    reason: str | None
    value_before: dict[str, Any] | None
    value_after: dict[str, Any] | None


_NOTE = """
INSERT INTO audit_log (done_by, action, subject, reason, value_before, value_after)
VALUES (:done_by, :action, :subject, :reason, CAST(:before AS JSONB), CAST(:after AS JSONB))
"""
_FIND = f"""
SELECT {columns_of(AuditEntry)} FROM audit_log
WHERE (CAST(:done_by AS TEXT) IS NULL OR done_by = :done_by)
    AND (CAST(:action AS TEXT) IS NULL OR action LIKE :action || '%')
    AND (CAST(:subject AS TEXT) IS NULL OR subject ILIKE '%' || :subject || '%')
    AND (CAST(:before_no AS BIGINT) IS NULL OR entry_no < :before_no)
ORDER BY entry_no DESC LIMIT :limit
"""


def note(
    connection: Connection,
    done_by: str,
    action: str,
    subject: str,
    *,
    reason: str | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write an entry into the transaction of `connection`."""
    values = {"done_by": done_by, "action": action, "subject": subject, "reason": reason}
    sides = {"before": _json(before), "after": _json(after)}
    connection.execute(text(_NOTE), {**values, **sides})


def find(
    connection: Connection,
    *,
    done_by: str | None = None,
    action: str | None = None,
    subject: str | None = None,
    before_no: int | None = None,
    limit: int = 100,
) -> list[AuditEntry]:
    """The newest entries first: by a person, of actions that begin so, on subjects that contain the text."""
    wanted = {"done_by": done_by, "action": action, "subject": subject, "before_no": before_no, "limit": limit}
    return select_as(connection, AuditEntry, text(_FIND), wanted)


def _json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else orjson.dumps(value, default=str).decode()
