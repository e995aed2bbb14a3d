"""Blacklist and allowlist: entries, and the history of their changes, in one database transaction each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from sqlalchemy import Connection, text

from streamguard.database.rows import columns_of, select_as

BLACKLIST, ALLOWLIST = "blacklist", "allowlist"


class Kind(str, Enum):
    """What can be listed."""

    account = "account"
    merchant = "merchant"
    device = "device"
    ip = "ip"
    country = "country"


@dataclass(frozen=True)
class Entry:
    """A value on a list; `expires_at` is None for one without an end."""

    kind: str
    value: str
    reason: str
    expires_at: datetime | None


_UPSERT = """
INSERT INTO lists AS old (list, kind, value, reason, expires_at) VALUES (:list, :kind, :value, :reason, :expires_at)
ON CONFLICT (list, kind, value) DO UPDATE SET reason = excluded.reason, expires_at = excluded.expires_at
RETURNING old.xmax = 0 AS is_new
"""
_NOTE = """
INSERT INTO list_history (list, kind, value, change, reason, expires_at, changed_by)
VALUES (:list, :kind, :value, :change, :reason, :expires_at, :changed_by)
"""


def add_entry(connection: Connection, name: str, entry: Entry, *, who: str) -> None:
    """Put a value on the list `name`, or change the reason and the end of one that is on it."""
    fields = {"list": name, **vars(entry)}
    is_new = connection.execute(text(_UPSERT), fields).scalar_one()
    connection.execute(text(_NOTE), {**fields, "change": "add" if is_new else "change", "changed_by": who})


def remove_entry(connection: Connection, name: str, kind: str, value: str, *, who: str, reason: str | None) -> bool:
    """Take a value off the list `name`; False if it was not on it. Its history stays."""
    fields = {"list": name, "kind": kind, "value": value}
    found = connection.execute(
        text("DELETE FROM lists WHERE list = :list AND kind = :kind AND value = :value"), fields
    ).rowcount
    if not found:
        return False
    note = {**fields, "change": "remove", "reason": reason, "expires_at": None, "changed_by": who}
    connection.execute(text(_NOTE), note)
    return True


def entries_of(connection: Connection, name: str) -> list[Entry]:
    """The list `name` by kind and value."""
    statement = text(f"SELECT {columns_of(Entry)} FROM lists WHERE list = :list ORDER BY kind, value")
    return select_as(connection, Entry, statement, {"list": name})
