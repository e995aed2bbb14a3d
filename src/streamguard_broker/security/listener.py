"""Where a listener may be opened: on loopback without conditions, elsewhere with TLS and SASL only."""

from __future__ import annotations

import ipaddress
import ssl

from streamguard_broker.errors import BrokerError
from streamguard_broker.options import BrokerOptions


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_any(host: str) -> bool:
    """Whether `host` stands for all addresses of this machine: one can listen there, and nobody can connect to it."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def check_listener(options: BrokerOptions, *, users: bool) -> None:
    """Raises BrokerError for a listener that other machines could reach without authentication, or not find again."""
    if options.sasl and not users:
        raise BrokerError(
            "SASL is on but there is no user; add one with "
            "python -m streamguard_broker.security.add_user --data-dir DIR NAME."
        )
    secured = options.sasl and options.tls_certificate is not None
    if not is_loopback(options.host) and not secured:
        raise BrokerError(
            f"{options.host} can be reached from outside: listening there needs --sasl and --tls-certificate."
        )

    if options.advertise is None and is_any(options.host):
        raise BrokerError(
            f"Clients cannot connect to {options.host}: listening there needs --advertise HOST:PORT, the address by which"
            " they reach this machine."
        )
    if options.advertise is not None and (is_any(options.advertise[0]) or not options.advertise[1]):
        raise BrokerError(
            f"Clients cannot connect to {options.advertise[0]}:{options.advertise[1]} (--advertise): give the name or"
            " address, and the port, by which they reach this machine."
        )


def tls_context(options: BrokerOptions) -> ssl.SSLContext | None:
    """The server's TLS context, None without a certificate. Raises BrokerError."""
    if options.tls_certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(options.tls_certificate, options.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise BrokerError(f"The TLS certificate {options.tls_certificate} cannot be used: {error}.") from error
    return context
