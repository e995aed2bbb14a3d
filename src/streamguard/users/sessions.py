"""Logins at the desk: a random token in a cookie, its SHA-256 in the database, an idle and an absolute end."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, text

from streamguard.database.rows import select_as

_USED_AFTER = timedelta(seconds=30)
"""`used_at` is written at most so often: a page with ten requests is one write."""


@dataclass(frozen=True)
class Session:
    """A login that is valid now. `csrf_token` has to come back with every request that changes something."""

    user_name: str
    role: str
    must_change: bool
    csrf_token: str


_OPEN = "INSERT INTO desk_sessions (token_hash, user_name, csrf_token) VALUES (:hash, :name, :csrf)"
_FIND = """
SELECT s.user_name, u.role, u.must_change, s.csrf_token
FROM desk_sessions s JOIN users u USING (user_name)
WHERE s.token_hash = :hash AND u.disabled_at IS NULL
    AND s.used_at > clock_timestamp() - CAST(:idle AS INTERVAL)
    AND s.created_at > clock_timestamp() - CAST(:lifetime AS INTERVAL)
"""
_USED = """
UPDATE desk_sessions SET used_at = clock_timestamp()
WHERE token_hash = :hash AND used_at < clock_timestamp() - CAST(:after AS INTERVAL)
"""
_EXPIRED = """
DELETE FROM desk_sessions WHERE used_at <= clock_timestamp() - CAST(:idle AS INTERVAL)
    OR created_at <= clock_timestamp() - CAST(:lifetime AS INTERVAL)
"""


@dataclass(frozen=True)
class Lifetimes:
    """How long a login is valid without a request, and at most."""

    idle: timedelta
    absolute: timedelta

    def parameters(self) -> dict[str, timedelta]:
        """As the statements of this module take them."""
        return {"idle": self.idle, "lifetime": self.absolute}


def open_session(connection: Connection, user_name: str, lifetimes: Lifetimes) -> str:
    """Log a user in; returns the token. What has expired is removed on the way."""
    connection.execute(text(_EXPIRED), lifetimes.parameters())
    token = secrets.token_urlsafe(32)
    connection.execute(text(_OPEN), {"hash": _hash(token), "name": user_name, "csrf": secrets.token_urlsafe(32)})
    return token


def find_session(connection: Connection, token: str, lifetimes: Lifetimes, *, used: bool = True) -> Session | None:
    """The valid login of a token. `used` keeps it from being idle; a live stream that is merely open does not."""
    found = select_as(connection, Session, text(_FIND), {"hash": _hash(token), **lifetimes.parameters()})
    if not found:
        return None
    if used:
        connection.execute(text(_USED), {"hash": _hash(token), "after": _USED_AFTER})
    return found[0]


def close_session(connection: Connection, token: str) -> None:
    """Log out."""
    connection.execute(text("DELETE FROM desk_sessions WHERE token_hash = :hash"), {"hash": _hash(token)})


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
