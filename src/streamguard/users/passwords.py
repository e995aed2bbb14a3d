"""Passwords: argon2id with the parameters that OWASP recommends for 19 MiB of memory, a few milliseconds of one core.

Source: the OWASP Password Storage Cheat Sheet; RFC 9106.
"""

from __future__ import annotations

import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST = 12
"""NIST SP 800-63B: length is what counts; no rules on kinds of characters."""
LONGEST = 256
"""Longer ones cost the server time and nobody types them."""

_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_NOBODY = _HASHER.hash(secrets.token_urlsafe(16))
"""What the password of an unknown user is compared with: it takes as long as for a known one."""


def hash_password(password: str) -> str:
    """The hash with its salt and parameters."""
    return _HASHER.hash(password)


def matches(password_hash: str | None, password: str) -> bool:
    """Whether the password is right; without a hash never, in the same time."""
    try:
        return _HASHER.verify(password_hash or _NOBODY, password) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False


def random_password() -> str:
    """A password that can be read out: five groups of four characters, 100 bits."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(4)) for _ in range(5))
