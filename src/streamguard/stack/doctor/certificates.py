"""Certificates of the settings, tried as their clients will try them: a TLS handshake in memory, without a network."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from streamguard.config import Settings, variable_of
from streamguard.config.cluster import check_pair
from streamguard.stack.doctor.base import Finding, Surroundings, check, halves

SOON_S = 30 * 86_400.0
_PARTIAL_CHAIN, _NO_CHECK_TIME = 0x80000, 0x200000
"""OpenSSL's X509_V_FLAG_ numbers: a certificate is its own trust; its times do not count."""
_OTHER_NAME, _OTHER_IP = 62, 64
"""OpenSSL's X509_V_ERR_ numbers."""


@dataclass(frozen=True)
class _Pair:
    """A certificate with its key, and who shows it: `host` is where clients reach it, None for a client's own."""

    field: str
    key_field: str
    certificate: Path
    key: Path | None
    host: str | None
    ca_field: str | None
    ca_file: Path | None


def _pairs(settings: Settings) -> Iterator[_Pair]:
    kafka_host = settings.kafka.addresses[0][0]
    given = (
        ("kafka_certificate", "kafka_key", kafka_host, "kafka_ssl_cafile"),
        ("kafka_ssl_certfile", "kafka_ssl_keyfile", None, None),
        ("ksqldb_certificate", "ksqldb_key", "127.0.0.1", "ksqldb_ssl_cafile"),
        ("desk_certificate", "desk_key", None, None),
    )
    for field, key, host, ca in given:
        if (file := getattr(settings, field)) is not None:
            authority = None if ca is None else getattr(settings, ca)
            yield _Pair(field, key, Path(file), getattr(settings, key), host, ca, authority)


@check("Certificates")
def certificates(around: Surroundings) -> Iterator[Finding]:
    """Expired or soon, a key that does not fit, another host, an authority that clients do not trust."""
    for pair in _pairs(around.settings):
        variable = variable_of(pair.field)
        try:
            check_pair((variable, variable_of(pair.key_field)), pair.certificate, pair.key)
            shown = _handshake(pair, trusted=None, host=None)
        except (ValueError, OSError) as error:
            yield halves(str(error), f"name a certificate and its key in {variable}")
            continue
        yield from _times(f"{variable}: the certificate {pair.certificate}", shown, around.clock())
        if pair.host is not None:
            yield from _refused_by_clients(around.settings, pair)


@check("Authorities of certificates")
def authorities(around: Surroundings) -> Iterator[Finding]:
    """The files of authorities, which expire too."""
    for field in ("kafka_ssl_cafile", "ksqldb_ssl_cafile"):
        file = getattr(around.settings, field)
        if file is None:
            continue
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(file)
        except (OSError, ssl.SSLError):
            yield Finding(f"{variable_of(field)}: {file} holds no PEM certificate", "name the file of the authority")
            continue
        for shown in context.get_ca_certs():
            yield from _times(f"{variable_of(field)}: an authority in {file}", shown, around.clock())


def _times(what: str, shown: Mapping[str, object], now_s: float) -> Iterator[Finding]:
    begin_s, end_s = (ssl.cert_time_to_seconds(str(shown[name])) for name in ("notBefore", "notAfter"))
    if now_s > end_s:
        yield Finding(f"{what} expired on {shown['notAfter']}", "renew it, then start the stack again")
    elif now_s < begin_s:
        yield Finding(f"{what} is not valid before {shown['notBefore']}", "set the clock of this machine, or renew it")
    elif end_s - now_s < SOON_S:
        days = int((end_s - now_s) // 86_400)
        yield Finding(
            f"{what} expires in {days} days ({shown['notAfter']})", "renew it before, then start the stack again"
        )


def _refused_by_clients(settings: Settings, pair: _Pair) -> Iterator[Finding]:
    """What the settings' own clients say of it. Its times are another check's."""
    host = pair.host if settings.kafka_ssl_check_hostname or pair.field != "kafka_certificate" else None
    try:
        _handshake(pair, trusted=pair.ca_file, host=host)
    except ssl.SSLCertVerificationError as error:
        variable, ca = variable_of(pair.field), variable_of(str(pair.ca_field))
        if error.verify_code in (_OTHER_NAME, _OTHER_IP):
            yield Finding(
                f"{variable}: the certificate {pair.certificate} is for another host than {pair.host}",
                f"make one whose subjectAltName has {pair.host}",
            )
        else:
            trust = f"of {ca}" if pair.ca_file is not None else f"that this machine trusts ({ca} is not set)"
            yield Finding(
                f"{variable}: the certificate {pair.certificate} is not signed by an authority {trust}",
                f"set {ca} to the certificate of its authority",
            )


def _handshake(pair: _Pair, *, trusted: Path | None, host: str | None) -> dict[str, object]:
    """Show the certificate to a client in memory; what the client sees of it.

    `trusted` None and `host` None: whatever it is. Raises OSError, SSLCertVerificationError.
    """
    serving, asking = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    serving.load_cert_chain(pair.certificate, pair.key)
    asking.check_hostname = host is not None
    asking.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
    if trusted is None and host is None:
        asking.verify_flags |= ssl.VerifyFlags(_PARTIAL_CHAIN)
        asking.load_verify_locations(pair.certificate)
    elif trusted is None:
        asking.load_default_certs()
    else:
        asking.load_verify_locations(trusted)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    client = asking.wrap_bio(to_client, to_server, server_hostname=host)
    for _ in range(4):
        for side in (client, server):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return dict(client.getpeercert() or {})
