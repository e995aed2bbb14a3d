"""The entries of blacklist and allowlist in the form that the transactions they must match are stored in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from streamguard.database.rows import columns_of, fetch
from streamguard.privacy.protection import Protection

KINDS = ("account", "device", "ip")
"""The kinds of entries that hold personal values."""


@dataclass(frozen=True)
class _Listed:
    list: str
    kind: str
    value: str


def protect_lists(engine: Engine, protection: Protection) -> int:
    """Protect entries that were made before protection was turned on, or by hand, and their history; returns how many.

    An entry that is there in both forms keeps the protected one.
    """
    if not protection.active:
        return 0
    kinds = [kind for kind in KINDS if protection.protects(kind)]
    with engine.begin() as connection:
        cursor = connection.connection.cursor()
        cursor.execute(f"SELECT {columns_of(_Listed)} FROM lists WHERE kind = ANY(%s) FOR UPDATE", (kinds,))
        changed = sum(_protect(cursor, entry, protection) for entry in fetch(cursor, _Listed))
        cursor.execute(f"SELECT DISTINCT {columns_of(_Listed)} FROM list_history WHERE kind = ANY(%s)", (kinds,))
        for entry in fetch(cursor, _Listed):
            _protect_history(cursor, entry, protection)
    return changed


def _protect(cursor: Any, entry: _Listed, protection: Protection) -> bool:
    stored = protection.listed(entry.kind, entry.value)
    if stored == entry.value:
        return False
    place = {"list": entry.list, "kind": entry.kind, "value": entry.value, "stored": stored}
    cursor.execute(
        "INSERT INTO lists (list, kind, value, reason, expires_at, created_at)"
        " SELECT list, kind, %(stored)s, reason, expires_at, created_at FROM lists"
        " WHERE list = %(list)s AND kind = %(kind)s AND value = %(value)s ON CONFLICT DO NOTHING",
        place,
    )
    cursor.execute("DELETE FROM lists WHERE list = %(list)s AND kind = %(kind)s AND value = %(value)s", place)
    return True


def _protect_history(cursor: Any, entry: _Listed, protection: Protection) -> None:
    stored = protection.listed(entry.kind, entry.value)
    if stored != entry.value:
        cursor.execute(
            "UPDATE list_history SET value = %s WHERE list = %s AND kind = %s AND value = %s",
            (stored, entry.list, entry.kind, entry.value),
        )
