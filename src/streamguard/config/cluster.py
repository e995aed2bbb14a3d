"""A Kafka as its clients need to know it: the addresses, and how to speak to them.

The names are those of Kafka's client settings (https://kafka.apache.org/documentation/#security). What belongs together
is checked together: a client would report most of it late, each in words of its own.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


@dataclass(frozen=True)
class Security:
    """TLS and login. Files are PEM; without `ca_file` the system's certificate authorities are trusted."""

    protocol: Protocol = "PLAINTEXT"
    mechanism: Mechanism | None = None
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    """The certificate with which the client shows itself, and its key; None where that is in the certificate's file."""
    check_hostname: bool = True

    @property
    def tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.protocol.endswith("SSL")

    @property
    def login(self) -> bool:
        """Whether clients log in with a password."""
        return self.protocol.startswith("SASL_")

    def check(self) -> None:
        """Raises ValueError, one sentence that names the variable, for what cannot work together."""
        self._check_login()
        given = {
            "STREAMGUARD_KAFKA_SSL_CAFILE": self.ca_file,
            "STREAMGUARD_KAFKA_SSL_CERTFILE": self.certificate,
            "STREAMGUARD_KAFKA_SSL_KEYFILE": self.key,
        }
        for variable, file in given.items():
            if file is None:
                continue
            if not self.tls:
                raise ValueError(
                    f"{variable} has no meaning with {self.protocol}: set STREAMGUARD_KAFKA_SECURITY_PROTOCOL to SSL or"
                    " SASL_SSL"
                )
            check_file(variable, file)
        if self.key is not None and self.certificate is None:
            raise ValueError(
                "STREAMGUARD_KAFKA_SSL_KEYFILE is the key of a certificate: set STREAMGUARD_KAFKA_SSL_CERTFILE too"
            )
        self._check_pem()

    def _check_login(self) -> None:
        given = {
            "STREAMGUARD_KAFKA_SASL_MECHANISM": self.mechanism,
            "STREAMGUARD_KAFKA_SASL_USERNAME": self.username,
            "STREAMGUARD_KAFKA_SASL_PASSWORD": self.password,
        }
        for variable, value in given.items():
            if self.login and not value:
                choices = " (PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512)" if variable.endswith("MECHANISM") else ""
                file = ", or STREAMGUARD_KAFKA_SASL_PASSWORD_FILE" if variable.endswith("PASSWORD") else ""
                raise ValueError(f"{variable} is not set{choices}: a login by {self.protocol} needs it{file}")
            if value and not self.login:
                raise ValueError(
                    f"{variable} has no meaning with {self.protocol}: set STREAMGUARD_KAFKA_SECURITY_PROTOCOL to"
                    " SASL_PLAINTEXT or SASL_SSL"
                )

        if str(self.mechanism).startswith("SCRAM") and set(",=") & set(self.username):
            raise ValueError(
                "STREAMGUARD_KAFKA_SASL_USERNAME: a name with , or = cannot log in by SCRAM with every client"
            )

    def _check_pem(self) -> None:
        if self.ca_file is not None:
            try:
                ssl.create_default_context(cafile=self.ca_file)
            except (ssl.SSLError, OSError):
                raise ValueError(f"STREAMGUARD_KAFKA_SSL_CAFILE: {self.ca_file} holds no PEM certificate") from None
        if self.certificate is not None:
            check_pair(("STREAMGUARD_KAFKA_SSL_CERTFILE", "STREAMGUARD_KAFKA_SSL_KEYFILE"), self.certificate, self.key)


@dataclass(frozen=True)
class Cluster:
    """The addresses of a Kafka (HOST:PORT, separated by commas), and how to speak to them. `str()` gives the addresses."""

    servers: str
    security: Security = Security()

    def __str__(self) -> str:
        return self.servers

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each."""
        found = (address.strip().rpartition(":") for address in self.servers.split(","))
        return [(host.strip("[]"), int(port)) for host, _, port in found]


def check_file(variable: str, file: Path) -> None:
    """Raises ValueError where a file cannot be read."""
    try:
        file.open("rb").close()
    except OSError as error:
        raise ValueError(f"{variable}: the file {file} cannot be read: {error.strerror}") from None


def read_secret(variable: str, file: Path) -> str:
    """The text of a file without its last line break. Raises ValueError where it cannot be read, or is empty."""
    check_file(variable, file)
    try:
        secret = file.read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError(f"{variable}: the file {file} is no text in UTF-8") from None
    if not secret:
        raise ValueError(f"{variable}: the file {file} is empty")
    return secret


def check_pair(variables: tuple[str, str], certificate: Path, key: Path | None) -> None:
    """Raises ValueError where files are no certificate with its key."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, OSError, _Encrypted) as error:
        why = (
            "does not fit the certificate"
            if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH"
            else "cannot be used"
        )
        why = "is encrypted" if isinstance(error, _Encrypted) else why
        raise ValueError(
            f"{', '.join(variables)}: the key in {key or certificate} {why}: a PEM certificate and its key without password"
            " are expected"
        ) from None


class _Encrypted(Exception):
    """A key asks for a password."""


def _no_password() -> str:
    raise _Encrypted
