"""How long the certificates of the settings are valid, read at each scrape: one that was replaced shows at once.

Format: RFC 5280, section 4.1 (a certificate is DER: nested tag, length, content).
"""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from streamguard.config import Settings

log = logging.getLogger("streamguard.metrics")

FILES = (
    *("kafka_certificate", "kafka_ssl_certfile", "kafka_ssl_cafile"),
    *("ksqldb_certificate", "ksqldb_ssl_cafile", "desk_certificate"),
)
"""The settings that name files with certificates; a label has such a name."""
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_EXPLICIT_VERSION, _UTC_TIME = 0xA0, 0x17


class CertificateMetrics:
    """The first expiry among the certificates of each file; a file that cannot be read counts as expired."""

    def __init__(self, settings: Settings) -> None:
        self._files: dict[str, Path] = {name: file for name in FILES if (file := getattr(settings, name)) is not None}

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are those of `collect`."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """As prometheus-client asks for it."""
        family = GaugeMetricFamily(
            "streamguard_certificate_expiry_seconds",
            "Seconds until the certificate of a setting expires; negative once it has.",
            labels=["certificate"],
        )
        now = datetime.now(timezone.utc)
        for name, file in self._files.items():
            family.add_metric([name], _left_s(file, now))
        yield family


def _left_s(file: Path, now: datetime) -> float:
    try:
        return (expiry(file) - now).total_seconds()
    except (OSError, ValueError) as error:
        log.warning("the certificate %s cannot be read: %s", file, error)
        return -1.0


def expiry(file: Path) -> datetime:
    """When the first of the certificates in a PEM file expires. Raises OSError, and ValueError where there is none."""
    found = _PEM.findall(file.read_text(encoding="utf-8", errors="replace"))
    if not found:
        raise ValueError("it has no certificate in PEM")
    return min(_not_after(ssl.PEM_cert_to_DER_cert(pem)) for pem in found)


def _not_after(der: bytes) -> datetime:
    """The end of the validity. Raises ValueError for what is no certificate."""
    try:
        fields = _elements(_elements(_elements(der)[0][1])[0][1])
        # The version may be left out; serialNumber, signature, issuer, and the validity: notBefore, notAfter.
        tag, text = _elements(fields[4 if fields[0][0] == _EXPLICIT_VERSION else 3][1])[1]
    except IndexError:
        raise ValueError("it is no certificate") from None
    # Two digits of the year until 2049 (4.1.2.5.1).
    century = "" if tag != _UTC_TIME else "19" if text[:2] >= b"50" else "20"
    return datetime.strptime(century + text.decode("ascii"), "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc)


def _elements(data: bytes) -> list[tuple[int, bytes]]:
    """The elements of a DER value, one behind the other: tag and content. Raises ValueError."""
    found, at = [], 0
    while at < len(data):
        if at + 2 > len(data):
            raise ValueError("it is cut short")
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(data[at : at + size], "big"), at + size
        if at + length > len(data):
            raise ValueError("it is cut short")
        found.append((tag, data[at : at + length]))
        at += length
    return found
