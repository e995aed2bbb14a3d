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


def without_login(url: str) -> str:
    """A URL that may be shown: without user name and password. The path of a folder is shown as it is."""
    if url.startswith(("/", ".")):
        return url
    before, separator, rest = url.partition("://")
    address, slash, path = rest.partition("/")
    return f"{before}{separator}{address.rpartition('@')[2]}{slash}{path}" if separator else url.rpartition("@")[2]
