"""Personal tokens of the API: a program may do what its user may; with the scope `read` it only looks."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from streamguard.config import UserError
from streamguard.database.rows import columns_of, select_as
from streamguard.users import audit

PREFIX = "sgt_"
"""So that a token is found by scanners where it was published by accident."""
READ, WRITE = "read", "write"
SCOPES = (READ, WRITE)
LONGEST_DAYS = 366
_USED_AFTER = timedelta(seconds=60)


class WrongToken(UserError):
    """A token cannot be made or revoked as asked."""


@dataclass(frozen=True)
class Token:
    """A token without its secret."""

    token_no: int
    user_name: str
    name: str
    scope: str
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True)
class Bearer:
    """Whoever sends a valid token."""

    token_no: int
    user_name: str
    role: str
    scope: str


_FIND = """
SELECT t.token_no, t.user_name, u.role, t.scope FROM api_tokens t JOIN users u USING (user_name)
WHERE t.token_hash = :hash AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > clock_timestamp())
    AND u.disabled_at IS NULL AND NOT u.must_change
"""


def make_token(connection: Connection, user: str, name: str, scope: str, days: int) -> str:
    """A new token for `days` days; returns it, to be shown once. Raises WrongToken."""
    if not 1 <= len(name.strip()) <= 60:
        raise WrongToken("a token has a name of 1 to 60 characters")
    if scope not in SCOPES:
        raise WrongToken(f"{scope or 'nothing'} is no scope: {', '.join(SCOPES)}")
    if not 1 <= days <= LONGEST_DAYS:
        raise WrongToken(f"a token is valid for 1 to {LONGEST_DAYS} days")
    token = PREFIX + secrets.token_urlsafe(32)
    connection.execute(
        text(
            "INSERT INTO api_tokens (token_hash, user_name, name, scope, expires_at)"
            " VALUES (:hash, :user, :name, :scope, clock_timestamp() + CAST(:valid AS INTERVAL))"
        ),
        {"hash": _hash(token), "user": user, "name": name.strip(), "scope": scope, "valid": timedelta(days=days)},
    )
    audit.note(connection, user, "tokens.make", f"token {name.strip()}", after={"scope": scope, "days": days})
    return token


def tokens_of(connection: Connection, user: str) -> list[Token]:
    """The tokens of a user, the newest first."""
    statement = text(f"SELECT {columns_of(Token)} FROM api_tokens WHERE user_name = :user ORDER BY token_no DESC")
    return select_as(connection, Token, statement, {"user": user})


def revoke_token(connection: Connection, user: str, token_no: int) -> None:
    """End one's own token, at once. Raises WrongToken."""
    found = connection.execute(
        text(
            "UPDATE api_tokens SET revoked_at = clock_timestamp()"
            " WHERE token_no = :no AND user_name = :user AND revoked_at IS NULL RETURNING name"
        ),
        {"no": token_no, "user": user},
    ).first()
    if found is None:
        raise WrongToken(f"you have no valid token {token_no}")
    audit.note(connection, user, "tokens.revoke", f"token {found.name}")


def bearer_of(connection: Connection, token: str) -> Bearer | None:
    """Whose token this is, if it is valid."""
    found = select_as(connection, Bearer, text(_FIND), {"hash": _hash(token)})
    if not found:
        return None
    connection.execute(
        text(
            "UPDATE api_tokens SET used_at = clock_timestamp() WHERE token_no = :no"
            " AND (used_at IS NULL OR used_at < clock_timestamp() - CAST(:after AS INTERVAL))"
        ),
        {"no": found[0].token_no, "after": _USED_AFTER},
    )
    return found[0]


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
