"""The entries of blacklist and allow-list as the payments they must match are stored: protected alike."""

from __future__ import annotations

from sqlalchemy import Engine

from streamguard.privacy.protection import Protection

KINDS = ("account", "device", "ip")
"""The kinds of entries that hold personal values."""


def protect_lists(engine: Engine, protection: Protection) -> int:
    """Protect entries that were made before protection was turned on, or by hand; returns how many.

    An entry that is there in both forms keeps the protected one.
    """
    if not protection.active:
        return 0
    changed = 0
    kinds = [kind for kind in KINDS if protection.protects(kind)]
    with engine.begin() as connection:
        cursor = connection.connection.cursor()
        for table in ("blacklist", "allowlist"):
            cursor.execute(f"SELECT kind, value FROM {table} WHERE kind = ANY(%s) FOR UPDATE", (kinds,))
            for kind, value in cursor.fetchall():
                stored = protection.listed(kind, value)
                if stored == value:
                    continue
                cursor.execute(
                    f"INSERT INTO {table} (kind, value, reason, expires_at, created_at)"
                    f" SELECT kind, %s, reason, expires_at, created_at FROM {table} WHERE kind = %s AND value = %s"
                    " ON CONFLICT DO NOTHING",
                    (stored, kind, value),
                )
                cursor.execute(f"DELETE FROM {table} WHERE kind = %s AND value = %s", (kind, value))
                changed += 1
    return changed
