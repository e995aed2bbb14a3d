"""A broker for a test, and one shared by those that only need any."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.broker import BrokerProcess
from tests.support.kafka import KafkaProcess, kafka_possible

AUTO_CREATE = ("--auto-create-topics",)
"""Most tests produce to a new topic without creating it."""
SHORT_SESSIONS = ("--group-min-session-timeout-ms", "100", "--group-consumer-heartbeat-interval-ms", "100")
KAFKAS_SHORT_SESSIONS = ("group.consumer.min.heartbeat.interval.ms=100", "group.consumer.heartbeat.interval.ms=100")
"""Tests wait for the end of a session, or for the next heartbeat."""
KAFKAS_DEFAULTS = (
    "--topic-default", "retention.ms=604800000", "--topic-default", "message.timestamp.after.max.ms=3600000",
)  # fmt: skip
"""Kafka's defaults where ours differ, for comparisons."""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    """A new broker that the test may stop, kill and start."""
    with BrokerProcess(tmp_path / "broker", arguments=AUTO_CREATE) as running:
        yield running


@pytest.fixture(scope="session")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """One broker for all tests that neither stop nor fill it."""
    with BrokerProcess(tmp_path_factory.mktemp("shared") / "broker", arguments=AUTO_CREATE) as running:
        yield running


@pytest.fixture
def topic() -> str:
    """A unique name."""
    return f"topic-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of our own for 127.0.0.1; its key is `key.pem` beside it."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(folder / "key.pem"),
         "-out", str(folder / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder / "cert.pem"


@pytest.fixture(scope="session", params=["ours", pytest.param("kafka", marks=pytest.mark.kafka)])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker."""
    folder = tmp_path_factory.mktemp("cluster")
    if request.param == "ours":
        arguments = (*AUTO_CREATE, *SHORT_SESSIONS, *KAFKAS_DEFAULTS)
        with BrokerProcess(folder / "broker", arguments=arguments) as broker:
            yield broker.address
        return
    if not kafka_possible():
        pytest.skip("java or mvn is not installed")
    with KafkaProcess(folder, KAFKAS_SHORT_SESSIONS) as kafka:
        yield kafka.address
