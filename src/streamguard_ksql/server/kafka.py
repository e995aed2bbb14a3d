"""How the server reaches its Kafka, from the settings that ksqlDB takes for it.

`security.protocol`, `sasl.mechanism`, `sasl.jaas.config`, `ssl.truststore.*` and `ssl.endpoint.identification.algorithm`, with
`ksql.streams.` before them or without; `ssl.keystore.*` only with it: without, they are of the server's own listener.
https://docs.ksqldb.io/en/latest/operate-and-deploy/installation/security/. Files are PEM (KIP-651): librdkafka reads no JKS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streamguard_ksql.errors import KsqlError
from streamguard_ksql.runtime.clients import Cluster

_PREFIX = "ksql.streams."
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_JAAS = re.compile(r"(username|password)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;\"]+))")
_CONNECTION = re.compile(r"(ksql\.streams\.)?(security\.protocol|sasl\..*)|ksql\.streams\.ssl\..*")
"""What is of the connection alone; there are passwords in it."""


def cluster_of(bootstrap_servers: str, config: Mapping[str, Any]) -> Cluster:
    """The Kafka at these addresses, reached as the settings say. Raises KsqlError, one sentence that names the setting."""
    protocol = _value(config, "security.protocol") or "PLAINTEXT"
    if protocol not in _PROTOCOLS:
        raise KsqlError(f"security.protocol is {protocol}: it has to be one of {', '.join(_PROTOCOLS)}.")
    options = {} if protocol == "PLAINTEXT" else {"security.protocol": protocol}
    if protocol.endswith("SSL"):
        options |= _tls(config)
    if protocol.startswith("SASL_"):
        options |= _login(config, protocol)
    return Cluster(bootstrap_servers, tuple(sorted(options.items())))


def without_connection(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without those of the connection to Kafka: no statement shows them."""
    return {name: value for name, value in config.items() if not _CONNECTION.fullmatch(name)}


def _value(config: Mapping[str, Any], name: str) -> str:
    return str(config.get(_PREFIX + name, config.get(name, "")))


def _login(config: Mapping[str, Any], protocol: str) -> dict[str, str]:
    mechanism = _value(config, "sasl.mechanism")
    if mechanism not in _MECHANISMS:
        raise KsqlError(
            f"sasl.mechanism is {mechanism or 'not set'}: with {protocol} it has to be one of {', '.join(_MECHANISMS)}."
        )
    pairs = {
        found[1]: found[3] if found[2] is None else re.sub(r"\\(.)", r"\1", found[2])
        for found in _JAAS.finditer(_value(config, "sasl.jaas.config"))
    }
    if not pairs.get("username") or not pairs.get("password"):
        raise KsqlError(
            'sasl.jaas.config has no username and password: `...LoginModule required username="NAME"'
            ' password="PASSWORD";` is expected.'
        )
    return {"sasl.mechanism": mechanism, "sasl.username": pairs["username"], "sasl.password": pairs["password"]}


def _tls(config: Mapping[str, Any]) -> dict[str, str]:
    algorithm = config.get(f"{_PREFIX}ssl.endpoint.identification.algorithm")
    if algorithm is None:
        algorithm = config.get("ssl.endpoint.identification.algorithm", "https")
    options = {"ssl.endpoint.identification.algorithm": algorithm or "none"}
    if certificates := _value(config, "ssl.truststore.certificates"):
        options["ssl.ca.pem"] = certificates
    elif _value(config, "ssl.truststore.location"):
        options["ssl.ca.location"] = _pem_file(config, "ssl.truststore", _value(config, "ssl.truststore.type"))
    own = {name: config.get(f"{_PREFIX}ssl.keystore.{name}", "") for name in ("location", "key", "certificate.chain")}
    if own["key"] and own["certificate.chain"]:
        options |= {"ssl.key.pem": own["key"], "ssl.certificate.pem": own["certificate.chain"]}
    elif own["location"]:
        file = _pem_file(config, "ssl.keystore", config.get(f"{_PREFIX}ssl.keystore.type", ""))
        options |= {"ssl.key.location": file, "ssl.certificate.location": file}
    if password := config.get(f"{_PREFIX}ssl.key.password"):
        options["ssl.key.password"] = password
    return options


def _pem_file(config: Mapping[str, Any], name: str, kind: str) -> str:
    file = Path(_value(config, f"{name}.location"))
    if kind.upper() != "PEM":
        raise KsqlError(
            f"{name}.type is {kind or 'not set, which means JKS'}: only PEM is read here; convert {file}, and set"
            " the type to PEM."
        )
    try:
        file.open("rb").close()
    except OSError as error:
        raise KsqlError(f"{name}.location: the file {file} cannot be read: {error.strerror}.") from None
    return str(file)
