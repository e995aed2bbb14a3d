"""Whether the embedded broker can be what the settings say: TLS has a certificate, an open address a login."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import ip_address

from streamguard.config import Settings
from streamguard.config.http import is_loopback
from streamguard.stack.errors import StackError


def check_broker(settings: Settings) -> None:
    """Raises StackError for what the broker would refuse when it starts, in the words of the settings."""
    security = settings.kafka.security
    if security.tls and settings.kafka_certificate is None:
        raise StackError(
            f"the embedded broker has no certificate for {security.protocol}: set STREAMGUARD_KAFKA_CERTIFICATE and"
            " STREAMGUARD_KAFKA_KEY, or KAFKA_BOOTSTRAP_SERVERS for a Kafka of your own"
        )
    if settings.kafka_certificate is not None and not security.tls:
        raise StackError(
            f"STREAMGUARD_KAFKA_CERTIFICATE has no meaning with {security.protocol}: set"
            " STREAMGUARD_KAFKA_SECURITY_PROTOCOL to SASL_SSL or SSL"
        )
    host = settings.kafka_host
    if not is_loopback(host) and security.protocol != "SASL_SSL":
        raise StackError(
            f"the embedded broker does not listen on {host} (STREAMGUARD_KAFKA_HOST) without logins and TLS: set"
            " STREAMGUARD_KAFKA_SECURITY_PROTOCOL=SASL_SSL"
        )
    if _is_any(host) and not settings.kafka_advertise:
        raise StackError(
            f"clients cannot connect to {host} (STREAMGUARD_KAFKA_HOST): set STREAMGUARD_KAFKA_ADVERTISE to the HOST:PORT by"
            " which they reach this machine"
        )


def make_user(settings: Settings) -> None:
    """Let the user of the settings log in to a broker that does not run, with their password. Raises StackError."""
    security = settings.kafka.security
    if not security.login:
        return
    command = [sys.executable, "-m", "streamguard_broker.security.add_user"]
    command += ["--data-dir", str(settings.state_path / "broker"), security.username]
    done = subprocess.run(command, input=f"{security.password}\n", capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr or done.stdout).strip().splitlines()
        raise StackError(
            f"the broker's user {security.username} could not be made: {reason[-1] if reason else done.returncode}"
        )


def _is_any(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False
