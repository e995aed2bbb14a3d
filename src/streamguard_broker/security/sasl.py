"""The server's side of SASL exchanges, without I/O: bytes in, bytes out, until `user` is known.

PLAIN: RFC 4616. SCRAM: RFC 5802, without channel binding, as in Kafka.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from typing import Protocol

from streamguard_broker.security.users import HASHES, Users

MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")


class AuthenticationFailed(Exception):
    """Invalid credentials; the message is Kafka's and gives no detail."""

    def __init__(self, mechanism: str) -> None:
        super().__init__(
            f"Authentication failed during authentication due to invalid credentials with SASL mechanism {mechanism}"
        )


class Exchange(Protocol):
    """One authentication. `user` is set when it has succeeded."""

    user: str | None

    def step(self, token: bytes) -> bytes:
        """Process the client's next token, return the answer. Raises AuthenticationFailed."""


def begin(mechanism: str, users: Users) -> Exchange:
    """A new exchange for one of MECHANISMS."""
    return PlainExchange(users) if mechanism == "PLAIN" else ScramExchange(mechanism, users)


class PlainExchange:
    """One token: authorization id, user, password, separated by zero bytes."""

    def __init__(self, users: Users) -> None:
        self._users = users
        self.user: str | None = None

    def step(self, token: bytes) -> bytes:
        try:
            authorization, user, password = token.decode().split("\0")
        except ValueError:
            raise AuthenticationFailed("PLAIN") from None
        if authorization not in ("", user) or not self._users.check_password(user, password):
            raise AuthenticationFailed("PLAIN")
        self.user = user
        return b""


class ScramExchange:
    """Client first, server first, client final, server final."""

    def __init__(self, mechanism: str, users: Users, nonce: str | None = None) -> None:
        self._mechanism = mechanism
        self._hash = HASHES[mechanism]
        self._users = users
        self._nonce = nonce or base64.b64encode(os.urandom(18)).decode()
        self._first: tuple[str, str, str] | None = None
        self.user: str | None = None

    def step(self, token: bytes) -> bytes:
        try:
            text = token.decode()
            return self._begin(text) if self._first is None else self._end(text)
        except (ValueError, KeyError, binascii.Error) as error:
            raise AuthenticationFailed(self._mechanism) from error

    def _begin(self, text: str) -> bytes:
        binding, _, rest = text.partition(",")
        _authorization, _, bare = rest.partition(",")
        fields = _fields(bare)
        user = fields["n"].replace("=2C", ",").replace("=3D", "=")
        credential = self._users.get(user, self._mechanism)
        if binding not in ("n", "y") or credential is None:
            raise AuthenticationFailed(self._mechanism)
        salt = base64.b64encode(credential.salt).decode()
        answer = f"r={fields['r']}{self._nonce},s={salt},i={credential.iterations}"
        self._first = (user, bare, answer)
        return answer.encode()

    def _end(self, text: str) -> bytes:
        assert self._first is not None
        user, client_first, server_first = self._first
        without_proof, _, proof = text.rpartition(",p=")
        fields = _fields(without_proof)
        credential = self._users.get(user, self._mechanism)
        if credential is None or fields["r"] != _fields(server_first)["r"] or fields["c"] not in ("biws", "eSws"):
            raise AuthenticationFailed(self._mechanism)
        message = f"{client_first},{server_first},{without_proof}".encode()
        signature = hmac.digest(credential.stored_key, message, self._hash)
        given = base64.b64decode(proof, validate=True)
        if len(given) != len(signature):
            raise AuthenticationFailed(self._mechanism)
        client_key = bytes(a ^ b for a, b in zip(given, signature, strict=True))
        if not hmac.compare_digest(hashlib.new(self._hash, client_key).digest(), credential.stored_key):
            raise AuthenticationFailed(self._mechanism)
        self.user = user
        return b"v=" + base64.b64encode(hmac.digest(credential.server_key, message, self._hash))


def _fields(text: str) -> dict[str, str]:
    """name=value pairs with commas between. Raises ValueError."""
    pairs = {}
    for part in text.split(","):
        name, separator, value = part.partition("=")
        if not separator:
            raise ValueError(part)
        pairs[name] = value
    return pairs
