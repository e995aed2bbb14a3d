"""Changes of the lists as people make them: values are protected as the database has them, and the topic is told.

The change is made first, in the caller's database transaction; the record that it returns is for
`blacklist_topic.publish`, once that transaction is committed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from streamguard.alerts import blacklist_topic
from streamguard.alerts.lists import BLACKLIST, Entry, add_entry, remove_entry
from streamguard.config import Settings
from streamguard.privacy.mode import protection_of

Record = tuple[str, bytes | None]


@dataclass(frozen=True)
class Change:
    """What was done: the value as it is stored, and the record for the topic; None where the topic has nothing to know.

    `is_clear` is false where the value that was given is protected already: the topic has clear values, which nobody knows
    from it.
    """

    stored: str
    record: Record | None
    is_clear: bool = True
    found: bool = True
    """False where there was nothing to take off."""


def put(connection: Connection, settings: Settings, name: str, entry: Entry, *, who: str) -> Change:
    """Put a value on a list, or change the reason and the end of one that is on it; `entry` as a person gives it."""
    protection = protection_of(connection, settings)
    kind, value = entry.kind, entry.value
    stored = protection.listed(kind, value)
    kept = replace(entry, value=stored, reason=protection.reason(entry.reason, kind, value))
    add_entry(connection, name, kept, who=who)
    is_clear = not (protection.protects(kind) and stored == value)
    return Change(stored, blacklist_topic.record_of(entry) if is_clear and name == BLACKLIST else None, is_clear)


def take_off(
    connection: Connection, settings: Settings, name: str, kind: str, value: str, *, who: str, reason: str | None
) -> Change:
    """Take a value off a list; not `found` if it was not on it."""
    protection = protection_of(connection, settings)
    stored = protection.listed(kind, value)
    kept = None if not reason else protection.reason(reason, kind, value)
    if not remove_entry(connection, name, kind, stored, who=who, reason=kept):
        return Change(stored, None, found=False)
    is_clear = not (protection.protects(kind) and stored == value)
    return Change(stored, (f"{kind}:{value}", None) if is_clear and name == BLACKLIST else None, is_clear)
