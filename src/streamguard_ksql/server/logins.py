"""HTTP basic authentication, as ksqlDB's manual has it ("Configuring Listener for HTTP-BASIC Authentication/Authorization").

`authentication.roles` names the roles that may use the server, `**` every user. Beyond the manual, a user with no other of them
than `read` may only read: SHOW, DESCRIBE, EXPLAIN, PRINT, SELECT, and what is asked for with GET.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import os
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers

from streamguard_ksql.server.early import answer
from streamguard_ksql.server.errors import FORBIDDEN, UNAUTHORIZED, RestError
from streamguard_ksql.server.users import User, UsersError, matches, read_users

log = logging.getLogger("streamguard_ksql.server")

READ, WRITE, ANY_ROLE = "read", "write", "**"
_WRITES = ("/inserts-stream", "/ksql/terminate")
"""Paths that change something whatever is sent there."""
_REMEMBERED = 1_000


@dataclass(frozen=True)
class Principal:
    """Who asks. `name` is None where no login is asked for."""

    name: str | None
    may_write: bool
    authorization: str | None = field(default=None, repr=False)
    """The header of the login, with which other engines of the service are asked in the same name."""

    def check_write(self, what: str) -> None:
        """RestError 403 for a user who may only read."""
        if not self.may_write:
            who = "Who has not logged in" if self.name is None else f"The user {self.name}"
            short = " ".join(what.split())[:80]
            raise RestError(f"{who} may only read, and `{short}` changes something.", code=FORBIDDEN)


ANYBODY = Principal(None, may_write=True)


@dataclass(frozen=True)
class Rules:
    """The settings `authentication.*`: the realm, the roles that may use the server, paths without a login."""

    users_file: Path
    realm: str = "KsqlServer-Props"
    roles: tuple[str, ...] = (READ, WRITE)
    skip_paths: tuple[str, ...] = ()


class Accounts:
    """The users of a file, read again when it has changed; a password is hashed once and then recognised by a quick digest."""

    def __init__(self, path: Path) -> None:
        """UsersError for a file that cannot be used."""
        self._path = path
        self._stamp = self._stat()
        self._users = read_users(path)
        self._key = os.urandom(32)
        self._seen: OrderedDict[bytes, bool] = OrderedDict()
        # One password is hashed at a time: who guesses waits, and takes no more than a core.
        self._hashing = asyncio.Lock()

    async def find(self, name: str, password: str) -> User | None:
        """The user with this name and password."""
        self._read_again()
        users = self._users
        digest = hmac.digest(self._key, f"{name}\0{password}".encode("utf-8", "surrogatepass"), hashlib.sha256)
        found = self._seen.get(digest)
        if found is None:
            async with self._hashing:
                found = self._seen.get(digest)
                if found is None:
                    found = await asyncio.to_thread(matches, users.get(name), password)
                    self._remember(digest, found)
        return users.get(name) if found else None

    def _remember(self, digest: bytes, found: bool) -> None:
        self._seen[digest] = found
        if len(self._seen) > _REMEMBERED:
            # What was wrong goes first: guesses do not make those wait who know their password.
            wrong = next((one for one, right in self._seen.items() if not right), None)
            self._seen.pop(next(iter(self._seen)) if wrong is None else wrong)

    def _read_again(self) -> None:
        if (stamp := self._stat()) == self._stamp:
            return
        self._stamp = stamp
        try:
            self._users = read_users(self._path)
            # What is hashed at this moment is remembered under the key of before, and never found.
            self._key = os.urandom(32)
            self._seen.clear()
        except UsersError as error:
            log.error("the users stay as they were: %s", error)

    def _stat(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino, found.st_mode


class Logins:
    """ASGI middleware: puts the `principal` of each request into its scope, or refuses it. Without rules everybody is let in."""

    def __init__(self, app: Any, rules: Rules | None = None) -> None:
        self.app = app
        self._rules = rules
        self._accounts = None if rules is None else Accounts(rules.users_file)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or self._rules is None or self._accounts is None:
            await self.app({**scope, "principal": ANYBODY}, receive, send)
            return
        try:
            principal = await self._principal(scope, self._rules, self._accounts)
        except RestError as error:
            await answer(error, scope, receive, send, self._rules.realm)
            return
        await self.app({**scope, "principal": principal}, receive, send)

    async def _principal(self, scope: Any, rules: Rules, accounts: Accounts) -> Principal:
        path = scope["path"]
        if any(fnmatchcase(path, pattern) for pattern in rules.skip_paths):
            return Principal(None, may_write=False)
        name, password = _credentials(Headers(scope=scope).get("authorization", ""))
        user = await accounts.find(name, password)
        if user is None:
            log.warning("login of %.80r refused", name)
            raise RestError("The user name or the password is wrong.", code=UNAUTHORIZED)
        header = Headers(scope=scope).get("authorization")
        principal = replace(_allowed(user, rules.roles), authorization=header)
        if path in _WRITES:
            principal.check_write(path)
        return principal


def _allowed(user: User, roles: Iterable[str]) -> Principal:
    """RestError 403 for a user with none of the roles."""
    names = set(user.roles) if ANY_ROLE in roles else set(user.roles) & set(roles)
    if not names and ANY_ROLE not in roles:
        raise RestError(
            f"The user {user.name} has none of the roles that may use this server: {', '.join(roles)}.", code=FORBIDDEN
        )
    return Principal(user.name, may_write=names != {READ})


def _credentials(header: str) -> tuple[str, str]:
    """Name and password of a request's header; RestError 401 where there are none (RFC 7617)."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        raise RestError(
            "This server asks for a user name and a password (HTTP basic authentication).", code=UNAUTHORIZED
        )
    try:
        name, colon, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        colon = ""
    if not colon:
        raise RestError("The Authorization header is not of the form Basic BASE64(NAME:PASSWORD).", code=UNAUTHORIZED)
    return name, password
