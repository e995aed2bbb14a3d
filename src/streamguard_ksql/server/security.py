"""Logins and TLS out of the server's settings, under ksqlDB's names: `listeners`, `authentication.*`, `ssl.*`.

Source: docs/operate-and-deploy/installation/server-config/security.md. Certificates are PEM files, not Java's key stores:
`ssl.certificate.location` and `ssl.key.location`, as librdkafka names them, or a key store of the type PEM (KIP-651). A setting
of these groups that is not known is an error: it would leave a door open that somebody believes closed.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamguard_ksql.server.doors import is_loopback
from streamguard_ksql.server.logins import READ, WRITE, Rules
from streamguard_ksql.server.users import USERS_FILE, UsersError, read_users

METHOD, USERS = "authentication.method", "authentication.users.file"
REALM, ROLES, SKIP = "authentication.realm", "authentication.roles", "authentication.skip.paths"
CERTIFICATE, KEY, KEY_PASSWORD = "ssl.certificate.location", "ssl.key.location", "ssl.key.password"
STORE, STORE_TYPE = "ssl.keystore.location", "ssl.keystore.type"
_KNOWN = frozenset({METHOD, USERS, REALM, ROLES, SKIP, CERTIFICATE, KEY, KEY_PASSWORD, STORE, STORE_TYPE})
_OF_CLIENTS = ("ssl.truststore.", "ssl.endpoint.identification.algorithm")
"""What the server's connection to Kafka may take from here too."""
# Those of TLS 1.2 that HTTP/2 allows (RFC 9113, appendix A); TLS 1.3 has its own.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class SecurityError(Exception):
    """Settings that cannot be: one sentence."""


@dataclass(frozen=True)
class Security:
    """How the server is protected: the rules of logins, and the TLS of its connections; None for none."""

    logins: Rules | None = None
    tls: ssl.SSLContext | None = None

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"

    def check_host(self, host: str) -> None:
        """SecurityError for an address that others can reach, without logins and TLS."""
        if not is_loopback(host) and (self.logins is None or self.tls is None):
            raise SecurityError(
                f"Other machines reach {host}, so listening there needs logins ({METHOD}=BASIC) and TLS ({CERTIFICATE},"
                f" {KEY}); without them it listens on loopback only."
            )


def security_of(config: Mapping[str, Any], data_dir: Path, scheme: str = "") -> Security:
    """What the settings ask for; `scheme`, where the address has one, decides whether there is TLS. SecurityError."""
    for name in config:
        if name.startswith(("authentication.", "ssl.")) and name not in _KNOWN and not name.startswith(_OF_CLIENTS):
            raise SecurityError(f"{name} is not a setting of this server, which has {', '.join(sorted(_KNOWN))}.")
    if scheme == "https" and not (config.get(CERTIFICATE) or config.get(STORE)):
        raise SecurityError(f"https needs a certificate: set {CERTIFICATE} and {KEY} to PEM files.")
    return Security(_rules(config, data_dir), None if scheme == "http" else _tls(config))


def _rules(config: Mapping[str, Any], data_dir: Path) -> Rules | None:
    method = str(config.get(METHOD) or "NONE").upper()
    if method not in ("NONE", "BASIC"):
        raise SecurityError(f"{METHOD} is NONE or BASIC, not {method}.")
    if method == "NONE":
        if given := sorted(name for name in config if name.startswith("authentication.") and name != METHOD):
            raise SecurityError(f"{given[0]} has an effect only with {METHOD}=BASIC.")
        return None
    rules = Rules(
        Path(config.get(USERS) or data_dir / USERS_FILE),
        str(config.get(REALM) or Rules.realm),
        _list(config.get(ROLES)) or (READ, WRITE),
        _list(config.get(SKIP)),
    )
    if not rules.realm.isprintable() or '"' in rules.realm or "\\" in rules.realm:
        raise SecurityError(f"{REALM} is {rules.realm!r}: quotes, backslashes and control characters cannot be in it.")
    try:
        users = read_users(rules.users_file)
    except UsersError as error:
        raise SecurityError(str(error)) from None
    if not users:
        raise SecurityError(
            f"{rules.users_file} has no user: add one with python -m streamguard_ksql.server.add_user --data-dir {data_dir} NAME."
        )
    return rules


def _list(value: Any) -> tuple[str, ...]:
    return tuple(part.strip() for part in str(value or "").split(",") if part.strip())


def _tls(config: Mapping[str, Any]) -> ssl.SSLContext | None:
    certificate, key = config.get(CERTIFICATE) or config.get(STORE), config.get(KEY)
    if config.get(STORE) and str(config.get(STORE_TYPE)).upper() != "PEM":
        raise SecurityError(
            f"{STORE} needs {STORE_TYPE}=PEM, a file with the certificate and its key: Java's key stores are not read."
        )
    if not certificate:
        if key:
            raise SecurityError(f"{KEY} is set and {CERTIFICATE} is not: a key without a certificate is of no use.")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        # The password is given in any case: without one, OpenSSL would ask for it at the terminal.
        context.load_cert_chain(certificate, key or None, password=lambda: str(config.get(KEY_PASSWORD) or ""))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SecurityError(
            f"The certificate {certificate} with the key {key or 'in the same file'} cannot be used ({reason}): both are PEM"
            f" files that belong together, an encrypted key needs {KEY_PASSWORD}."
        ) from None
    return context
