"""The users of the server, in the property file of ksqlDB's manual ("Create the password file"): `NAME: PASSWORD[,ROLE ...]`.

A password stands there as argon2id hash, which `add_user` writes, or in clear text. Jetty's OBF, MD5 and CRYPT, which the
manual shows too, are refused: the first two are reversed within seconds, and the third keeps eight characters of a password.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from hmac import compare_digest
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

USERS_FILE = "users.properties"
_HASH = re.compile(r"(\$argon2id\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/$]+)(?:,(.*))?")
_LINE = re.compile(r"([^\s:=]+)\s*[:=\s]\s*(.*)")
_REFUSED = ("OBF:", "MD5:", "CRYPT:")
# The parameters that OWASP recommends for 19 MiB of memory (Password Storage Cheat Sheet).
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_NOBODY = _HASHER.hash("")
"""What the password of an unknown user is compared with: it takes as long as for a known one."""


class UsersError(Exception):
    """A file of users that cannot be used: one sentence with its name, line and cure."""


@dataclass(frozen=True)
class User:
    """A user, the hash or text of the password, and the names of the roles."""

    name: str
    password: str
    roles: tuple[str, ...]

    def line(self) -> str:
        return f"{self.name}: {','.join((self.password, *self.roles))}\n"


def read_users(path: Path) -> dict[str, User]:
    """The users by name. UsersError for a file that is not there, that others may read, or that has a wrong line."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsersError(f"The file of users {path} cannot be read ({reason}): {_how(path)}.") from None
    if mode & 0o077:
        raise UsersError(f"The file of users {path} can be read by others: chmod 600 {path}.")
    users = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip() and line.lstrip()[0] not in "#!":
            user = _user(line.strip(), f"{path}, line {number}")
            users[user.name] = user
    return users


def write_users(path: Path, users: dict[str, User]) -> None:
    """Replace the file as a whole, readable by its owner alone. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write("# NAME: PASSWORD,ROLE; made by python -m streamguard_ksql.server.add_user\n")
        file.writelines(user.line() for user in users.values())
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def new_user(name: str, password: str, roles: tuple[str, ...]) -> User:
    """A user with a hashed password. UsersError for a name or password that cannot be."""
    if not name or re.search(r"[\s:=#!\x00-\x1f\x7f]", name):
        raise UsersError(f"{name!r} is no name of a user: letters, digits and signs other than : = # ! are.")
    if not password:
        raise UsersError("The password is empty.")
    return User(name, _HASHER.hash(password), roles)


def matches(user: User | None, password: str) -> bool:
    """Whether the password is right. Without a user never, in the same time."""
    if user is not None and not user.password.startswith("$"):
        # A file with passwords in clear text gives away more than the time of a comparison.
        return compare_digest(user.password.encode(), password.encode())
    try:
        return _HASHER.verify(_NOBODY if user is None else user.password, password) and user is not None
    except (VerificationError, InvalidHashError):
        return False


def _user(line: str, where: str) -> User:
    found = _LINE.fullmatch(line)
    if found is None:
        raise UsersError(f"{where}: a user is written NAME: PASSWORD,ROLE.")
    name, value = found[1], found[2].strip()
    if value.startswith(_REFUSED):
        kind = value.partition(":")[0]
        raise UsersError(
            f"{where}: passwords in the form {kind} are not read, for they are reversed or guessed with ease: write the user"
            " again with python -m streamguard_ksql.server.add_user."
        )
    if value.startswith("$"):
        hashed = _HASH.fullmatch(value)
        if hashed is None:
            raise UsersError(f"{where}: the hash of the password is none of argon2id.")
        return User(name, hashed[1], _roles(hashed[2] or ""))
    password, _, roles = value.partition(",")
    if not password.strip():
        raise UsersError(f"{where}: the password is empty.")
    return User(name, password.strip(), _roles(roles))


def _roles(text: str) -> tuple[str, ...]:
    return tuple(role.strip() for role in text.split(",") if role.strip())


def _how(path: Path) -> str:
    return f"add one with python -m streamguard_ksql.server.add_user --data-dir {path.parent} NAME"
