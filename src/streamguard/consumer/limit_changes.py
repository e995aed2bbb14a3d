"""The limits of the Python rules, which are settings: a start of the consumer notes in the audit log what changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from streamguard.database.locks import Lock
from streamguard.rules import RuleLimits
from streamguard.users import audit

ACTION = "rules.limits"
_WHO = "settings"
_ALL = 1_000_000


@dataclass(frozen=True)
class LimitChange:
    """The limit `name` of Python rules had another value from a start of the consumer on."""

    name: str
    before: str
    after: str
    changed_at: datetime


def note_limits(connection: Connection, limits: RuleLimits) -> list[str]:
    """Write what differs from the limits of the start before, in the transaction of `connection`; the names of what differs.

    The first start writes all of them, and nothing of it is a change.
    """
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": Lock.STORE})
    entries = _entries(connection)
    known: dict[str, str] = {}
    for entry in entries:
        known |= entry.value_after or {}
    now = {name: str(value) for name, value in limits}
    changed = sorted(name for name in now if now[name] != known.get(name))
    if not changed:
        return []
    before = {name: known[name] for name in changed if name in known} if entries else None
    after = {name: now[name] for name in changed}
    reason = ", ".join(RuleLimits.variable_of(name) for name in changed) if entries else "the first start"
    audit.note(connection, _WHO, ACTION, "rules", reason=reason, before=before, after=after)
    return changed if entries else []


def limit_changes(connection: Connection, names: frozenset[str] | None = None) -> list[LimitChange]:
    """The changes in their order, of these limits or of all. A limit that a version of the program added or took away is none."""
    return [
        LimitChange(name, old, (entry.value_after or {})[name], entry.done_at)
        for entry in _entries(connection)
        for name, old in (entry.value_before or {}).items()
        if name in (entry.value_after or {}) and (names is None or name in names)
    ]


def _entries(connection: Connection) -> list[audit.AuditEntry]:
    return list(reversed(audit.find(connection, action=ACTION, limit=_ALL)))
