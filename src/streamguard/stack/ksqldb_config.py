"""The file with which the SQL engine reaches a secured Kafka: ksqlDB's own settings, as ksql-server.properties has them.

Real ksqlDB takes the same lines (https://docs.ksqldb.io/en/latest/operate-and-deploy/installation/security/).
"""

from __future__ import annotations

import os
from pathlib import Path

from streamguard.config import Security, Settings

_LOGIN_MODULES = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}


def config_file(settings: Settings) -> Path:
    """Its place."""
    return settings.state_path / "ksql-server.properties"


def write_config(settings: Settings) -> None:
    """Write the file, readable by its owner alone: it contains a password."""
    text = "".join(f"ksql.streams.{name}={_escaped(value)}\n" for name, value in lines(settings.kafka.security).items())
    descriptor = os.open(config_file(settings), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)
        file.write(f"# Written by streamguard at every start; edits are lost. Settings belong into .env.\n{text}")


def lines(security: Security) -> dict[str, str]:
    """Kafka's settings of a client of Java, by their names."""
    found: dict[str, str] = {"security.protocol": security.protocol}
    if security.tls:
        found["ssl.endpoint.identification.algorithm"] = "https" if security.check_hostname else ""
        if security.ca_file is not None:
            found |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(security.ca_file.absolute())}
        if security.certificate is not None:
            found["ssl.keystore.type"] = "PEM"
            found["ssl.keystore.certificate.chain"] = security.certificate.read_text()
            found["ssl.keystore.key"] = (security.key or security.certificate).read_text()
    if security.login:
        user, password = (_quoted(text) for text in (security.username, security.password))
        module = _LOGIN_MODULES[str(security.mechanism)]
        found["sasl.mechanism"] = str(security.mechanism)
        found["sasl.jaas.config"] = f"{module} required username={user} password={password};"
    return found


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
