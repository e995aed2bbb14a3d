"""Users and their SCRAM credentials in `users.json`: salt, iterations, two keys (RFC 5802).

Passwords are not stored; PLAIN is checked by deriving the same keys from the password that the client sends.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from dataclasses import dataclass
from pathlib import Path

import orjson

from streamguard_broker.storage.filesystem import FileSystem

USERS_FILE = "users.json"
ITERATIONS = 4096
MIN_ITERATIONS, MAX_ITERATIONS = 4096, 16384
HASHES = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}


@dataclass(frozen=True)
class Credential:
    """The credential of a user for one mechanism."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes


def derive(mechanism: str, salted_password: bytes, salt: bytes, iterations: int) -> Credential:
    """Stored key and server key from a salted password."""
    name = HASHES[mechanism]
    client_key = hmac.digest(salted_password, b"Client Key", name)
    server_key = hmac.digest(salted_password, b"Server Key", name)
    return Credential(salt, iterations, hashlib.new(name, client_key).digest(), server_key)


def from_password(mechanism: str, password: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> Credential:
    """A new credential, or the one that `password` gives with a known salt."""
    salt = os.urandom(24) if salt is None else salt
    salted = hashlib.pbkdf2_hmac(HASHES[mechanism], password.encode(), salt, iterations)
    return derive(mechanism, salted, salt, iterations)


class Users:
    """The users of one broker, read at the start and when they change."""

    def __init__(self, path: Path, fs: FileSystem) -> None:
        self._path = path
        self._fs = fs
        self.credentials: dict[str, dict[str, Credential]] = {}
        data = fs.read_file(path)
        for user, mechanisms in (orjson.loads(data) if data else {}).items():
            self.credentials[user] = {name: _decode(entry) for name, entry in mechanisms.items()}

    def get(self, user: str, mechanism: str) -> Credential | None:
        return self.credentials.get(user, {}).get(mechanism)

    def set_password(self, user: str, password: str) -> None:
        """Give a user credentials for every mechanism. Raises OSError."""
        self.credentials[user] = {mechanism: from_password(mechanism, password) for mechanism in HASHES}
        self._save()

    def set(self, user: str, mechanism: str, credential: Credential) -> None:
        """Replace one credential. Raises OSError."""
        self.credentials.setdefault(user, {})[mechanism] = credential
        self._save()

    def remove(self, user: str, mechanism: str | None = None) -> bool:
        """Remove one credential or all; returns whether there was one. Raises OSError."""
        known = self.credentials.get(user)
        if known is None or (mechanism is not None and mechanism not in known):
            return False
        if mechanism is not None:
            del known[mechanism]
        if mechanism is None or not known:
            del self.credentials[user]
        self._save()
        return True

    def check_password(self, user: str, password: str) -> bool:
        """PLAIN: whether the password gives the stored key."""
        for mechanism, known in self.credentials.get(user, {}).items():
            given = from_password(mechanism, password, known.salt, known.iterations)
            return hmac.compare_digest(given.stored_key, known.stored_key)
        return False

    def _save(self) -> None:
        data = {
            user: {name: _encode(entry) for name, entry in mechanisms.items()}
            for user, mechanisms in self.credentials.items()
        }
        self._fs.replace_file(self._path, orjson.dumps(data, option=orjson.OPT_INDENT_2))


def _encode(credential: Credential) -> dict[str, str | int]:
    return {
        "salt": base64.b64encode(credential.salt).decode(),
        "iterations": credential.iterations,
        "stored_key": base64.b64encode(credential.stored_key).decode(),
        "server_key": base64.b64encode(credential.server_key).decode(),
    }


def _decode(entry: dict[str, str | int]) -> Credential:
    salt, stored, server = (base64.b64decode(str(entry[name])) for name in ("salt", "stored_key", "server_key"))
    return Credential(salt, int(entry["iterations"]), stored, server)
