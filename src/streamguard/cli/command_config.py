"""`--command-config FILE`: a client's settings as Kafka's own tools take them, in the place of STREAMGUARD_KAFKA_*."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from streamguard.config import Security, SettingsError
from streamguard.config.cluster import Mechanism, Protocol
from streamguard_ksql.errors import KsqlError
from streamguard_ksql.server.config_file import read_config
from streamguard_ksql.server.kafka import cluster_of

_INLINE = ("ssl.ca.pem", "ssl.key.pem", "ssl.certificate.pem", "ssl.key.password")


def security_of(file: Path) -> Security:
    """TLS and login of a file such as kafka-topics.sh takes. Raises SettingsError."""
    try:
        settings = {f"ksql.streams.{name}": value for name, value in read_config(file, "--command-config").items()}
        options: dict[str, Any] = dict(cluster_of("", settings).options)
    except KsqlError as error:
        raise SettingsError(error.message.rstrip(".")) from None
    if any(name in options for name in _INLINE):
        raise SettingsError(f"{file} (--command-config): certificates and keys have to be PEM files without a password")
    return Security(
        cast(Protocol, options.get("security.protocol", "PLAINTEXT")),
        cast(Mechanism | None, options.get("sasl.mechanism")),
        options.get("sasl.username", ""),
        options.get("sasl.password", ""),
        _file(options.get("ssl.ca.location")),
        _file(options.get("ssl.certificate.location")),
        None,
        options.get("ssl.endpoint.identification.algorithm") != "none",
    )


def _file(name: str | None) -> Path | None:
    return None if name is None else Path(name)
