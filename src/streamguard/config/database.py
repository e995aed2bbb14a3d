"""A Postgres URL taken apart, with the parameters that libpq takes after its question mark, and its variables."""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

_ENVIRONMENT = {
    "application_name": "PGAPPNAME",
    "channel_binding": "PGCHANNELBINDING",
    "client_encoding": "PGCLIENTENCODING",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "gssencmode": "PGGSSENCMODE",
    "krbsrvname": "PGKRBSRVNAME",
    "options": "PGOPTIONS",
    "passfile": "PGPASSFILE",
    "service": "PGSERVICE",
    "sslcert": "PGSSLCERT",
    "sslcrl": "PGSSLCRL",
    "sslkey": "PGSSLKEY",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}
"""libpq's parameters, and the variables by which its programs take them
(https://www.postgresql.org/docs/current/libpq-envars.html)."""


class DatabaseAddress:
    """Host, port, user, password, name and libpq's parameters out of a Postgres URL.

    Raises ValueError for a port that is none, and for a parameter that libpq does not have: it would be left out in silence
    by one client, and be an error of the other.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.host: str = parts.hostname or self.parameters.pop("host", "127.0.0.1")
        self.port: int = parts.port or int(self.parameters.pop("port", "5432"))
        self.user: str = unquote(parts.username or "streamguard")
        self.password: str = unquote(parts.password or "")
        self.name: str = parts.path.lstrip("/") or self.user
        if unknown := sorted(self.parameters.keys() - _ENVIRONMENT):
            raise ValueError(
                f"{unknown[0]} is not a parameter of a Postgres URL; those are {', '.join(sorted(_ENVIRONMENT))}"
            )

    @property
    def connection(self) -> dict[str, Any]:
        """The arguments of `psycopg2.connect`."""
        address: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "dbname": self.name,
        }
        return {**self.parameters, **address}

    @property
    def libpq_environment(self) -> dict[str, str]:
        """What `psql` and every libpq program read, so that no password appears on a command line."""
        return {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.name,
            **{_ENVIRONMENT[name]: value for name, value in self.parameters.items()},
        }


def forget_libpq_environment() -> None:
    """Take from this process, and so from those that it starts, what libpq reads from the environment (`PGSERVICE`, ...).

    https://www.postgresql.org/docs/current/libpq-envars.html: arguments of a connection overrule most of it, not all.
    """
    for name in [name for name in os.environ if re.match("PG[A-Z]", name)]:
        del os.environ[name]
