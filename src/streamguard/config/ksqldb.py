"""A ksqlDB server as its clients need to know it: the address, who logs in, and whom its certificate is trusted from."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import requests
from requests.auth import HTTPBasicAuth

from streamguard.config.http import is_loopback


@dataclass(frozen=True)
class Ksqldb:
    """A server. `str()` gives the address, in which there is no login; `ca_file` is PEM, None trusts the usual authorities."""

    url: str
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None

    def __str__(self) -> str:
        return self.url

    @classmethod
    def of(cls, server: Ksqldb | str) -> Ksqldb:
        """A server by its URL, which may have a login in it: https://user:password@host:port."""
        if isinstance(server, Ksqldb):
            return server
        parts = urlsplit(server)
        return cls(without_login(server), unquote(parts.username or ""), unquote(parts.password or ""))

    def session(self) -> requests.Session:
        """A session that logs in, for any number of requests.

        Of the environment it takes the proxies, not for a server on this machine, and the file of authorities: a login of
        ~/.netrc is for other programs, and `ca_file` comes before REQUESTS_CA_BUNDLE.
        """
        session = requests.Session()
        session.trust_env = False
        if not is_loopback(urlsplit(self.url).hostname or ""):
            session.proxies.update(requests.utils.get_environ_proxies(self.url))
        bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        session.verify = str(self.ca_file) if self.ca_file else bundle or True
        if self.username:
            # As bytes: requests would write text in Latin-1, and ksqlDB reads UTF-8 (RFC 7617).
            session.auth = HTTPBasicAuth(self.username.encode(), self.password.encode())
        return session

    def environment(self) -> dict[str, str]:
        """The variables from which another process of StreamGuard reads the same server."""
        given = {
            "STREAMGUARD_KSQLDB_USERNAME": self.username,
            "STREAMGUARD_KSQLDB_PASSWORD": self.password,
            "STREAMGUARD_KSQLDB_SSL_CAFILE": str(self.ca_file.absolute()) if self.ca_file else "",
        }
        return {"KSQLDB_URL": self.url, **{name: value for name, value in given.items() if value}}


def without_login(url: str) -> str:
    """A URL that may be shown: without user name and password."""
    before, separator, rest = url.partition("://")
    address, slash, path = rest.partition("/")
    return f"{before}{separator}{address.rpartition('@')[2]}{slash}{path}" if separator else url.rpartition("@")[2]


def read_password(variable: str, file: Path) -> str:
    """The text of a file without its last line break. Raises ValueError where it cannot be read, or is empty."""
    try:
        password = file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise ValueError(f"{variable}: the file {file} cannot be read: {reason}") from None
    if not password:
        raise ValueError(f"{variable}: the file {file} is empty")
    return password
