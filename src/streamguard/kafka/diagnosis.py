"""Why a Kafka cannot be used: one connection, step by step, as a client opens it.

Clients report a wrong password, an expired certificate and a silent broker alike, as a timeout. Here each step is taken by
itself: TCP, the TLS handshake, ApiVersions, SaslHandshake, and the login
(https://kafka.apache.org/protocol#sasl_handshake). Takes a few seconds at most.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kafka.net.sasl import get_sasl_mechanism

from streamguard.config import Cluster, Security
from streamguard.config.certificates import certificate_reason
from streamguard.kafka.wire import (
    API_VERSIONS,
    SASL_AUTHENTICATE,
    SASL_HANDSHAKE,
    Closed,
    ask,
    nullable_string,
    string,
    strings,
)

ANSWER_S = 3.0
_UNSUPPORTED_MECHANISM, _NO_SASL_HERE = 33, 34
_PROTOCOL = "STREAMGUARD_KAFKA_SECURITY_PROTOCOL"
_NAME_IN = "KAFKA_BOOTSTRAP_SERVERS (STREAMGUARD_KAFKA_ADVERTISE of the embedded broker)"
_AUTHORITY_IN = "STREAMGUARD_KAFKA_SSL_CAFILE"


@dataclass(frozen=True)
class Problem:
    """What is wrong with an address. `permanent`: it does not pass by waiting, somebody has to change something."""

    sentence: str
    permanent: bool

    def __str__(self) -> str:
        return self.sentence


class _Refused(Exception):
    """A step that failed for good."""


def diagnosis(cluster: Cluster, answer_s: float = ANSWER_S) -> Problem | None:
    """What keeps a client from using a Kafka; None where one of its addresses can be used, as far as this goes.

    `answer_s`: how long each step may take. What does not answer in it has a problem that may pass.
    """
    found: list[Problem] = []
    for host, port in cluster.addresses:
        problem = _try(host, port, cluster.security, answer_s)
        if problem is None:
            return None
        found.append(problem)
    # What is refused says more than an address that is down for the moment.
    return next((problem for problem in found if problem.permanent), found[-1] if found else None)


def _try(host: str, port: int, security: Security, answer_s: float) -> Problem | None:
    where = f"{host}:{port}"
    try:
        with _connection(host, port, security, answer_s) as connection:
            _log_in(connection, security)
    except _Refused as refused:
        return Problem(f"{where} {refused}", permanent=True)
    except TimeoutError:
        return Problem(f"{where} does not answer within {answer_s:.0f} s", permanent=False)
    except (Closed, ConnectionResetError, BrokenPipeError, ssl.SSLError):
        # One that is at its limit of connections, or ends, does that too: what it speaks is looked at before it is said.
        other = _other_end(host, port, security, answer_s)
        return Problem(f"{where} {other or 'closes the connection'}", permanent=other is not None)
    except OSError as error:
        return Problem(f"{where}: {error.strerror or error}", permanent=False)
    return None


def _other_end(host: str, port: int, security: Security, answer_s: float) -> str | None:
    """Why it closes connections, where it can be found out."""
    if security.tls and _wants_certificate(host, port, security, answer_s):
        return (
            "asks for a certificate of the client: set STREAMGUARD_KAFKA_SSL_CERTFILE and STREAMGUARD_KAFKA_SSL_KEYFILE"
        )
    if security.tls and _answers_plain(host, port, answer_s):
        other = "SASL_PLAINTEXT" if security.login else "PLAINTEXT"
        return f"does not speak TLS as {security.protocol} needs it: set {_PROTOCOL}={other}"
    if not security.tls and _answers_tls(host, port, answer_s):
        return f"speaks TLS alone: set {_PROTOCOL}={'SASL_SSL' if security.login else 'SSL'}"
    return None


def _wants_certificate(host: str, port: int, security: Security, answer_s: float) -> bool:
    """Whether it ends a handshake because the client shows no certificate. It says so only to one that sends nothing yet."""
    try:
        with _connection(host, port, security, answer_s) as connection:
            connection.recv(1)
    except ssl.SSLError as error:
        return "CERTIFICATE_REQUIRED" in str(error.reason)
    except (OSError, _Refused):
        return False
    return False


def _answers_plain(host: str, port: int, answer_s: float) -> bool:
    try:
        with socket.create_connection((host, port), timeout=answer_s) as connection:
            ask(connection, API_VERSIONS, b"")
    except (Closed, OSError):
        return False
    return True


def _answers_tls(host: str, port: int, answer_s: float) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=answer_s) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return True
    except OSError:
        return False


@contextmanager
def _connection(host: str, port: int, security: Security, answer_s: float) -> Iterator[socket.socket]:
    with socket.create_connection((host, port), timeout=answer_s) as plain:
        if not security.tls:
            yield plain
            return
        try:
            encrypted = _context(security).wrap_socket(plain, server_hostname=host)
        except ssl.SSLCertVerificationError as error:
            raise _Refused(certificate_reason(host, error, name_in=_NAME_IN, authority_in=_AUTHORITY_IN)) from None
        with encrypted:
            yield encrypted


def _context(security: Security) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=security.ca_file)
    context.check_hostname = security.check_hostname
    if security.certificate is not None:
        context.load_cert_chain(security.certificate, security.key)
    return context


def _log_in(connection: socket.socket, security: Security) -> None:
    """Raises _Refused, Closed, OSError."""
    ask(connection, API_VERSIONS, b"")
    handshake = ask(connection, SASL_HANDSHAKE, string(security.mechanism or "none"), version=1)
    [code] = struct.unpack_from(">h", handshake)
    has_logins = code != _NO_SASL_HERE
    if security.login and not has_logins:
        raise _Refused(f"takes no logins: set {_PROTOCOL}={'SSL' if security.tls else 'PLAINTEXT'}")
    if not security.login:
        if has_logins:
            raise _Refused(f"asks for a login: set {_PROTOCOL}=SASL_{security.protocol}")
        return
    if code == _UNSUPPORTED_MECHANISM:
        raise _Refused(
            f"does not take logins by {security.mechanism}: set STREAMGUARD_KAFKA_SASL_MECHANISM to one of"
            f" {', '.join(strings(handshake[2:]))}"
        )
    _authenticate(connection, security)


def _authenticate(connection: socket.socket, security: Security) -> None:
    exchange = get_sasl_mechanism(security.mechanism)(
        sasl_mechanism=security.mechanism,
        sasl_plain_username=security.username,
        sasl_plain_password=security.password,
    )
    while not exchange.is_done():
        token = exchange.auth_bytes()
        answer = ask(connection, SASL_AUTHENTICATE, struct.pack(">i", len(token)) + token)
        [code] = struct.unpack_from(">h", answer)
        if code:
            raise _Refused(
                f"refuses the login of {security.username}: check STREAMGUARD_KAFKA_SASL_USERNAME and"
                " STREAMGUARD_KAFKA_SASL_PASSWORD"
            )
        _, rest = nullable_string(answer[2:])
        exchange.receive(rest[4:])
