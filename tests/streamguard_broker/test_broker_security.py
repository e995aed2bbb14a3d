"""Authentication, TLS, and listeners that other machines could reach without them."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]  # re-exported without __all__
from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError

from streamguard_broker.security.add_user import main as add_user
from streamguard_broker.security.users import USERS_FILE, Users
from streamguard_broker.storage.filesystem import FileSystem
from tests.streamguard_broker.conftest import AUTO_CREATE
from tests.support.broker import BrokerProcess, free_port


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, certificate: Path) -> Iterator[BrokerProcess]:
    """A broker with TLS and logins, and the user ana."""
    data_dir = tmp_path_factory.mktemp("secured") / "broker"
    subprocess.run(
        [sys.executable, "-m", "streamguard_broker.security.add_user", "--data-dir", str(data_dir), "ana"],
        input=b"s3cret\n", check=True, capture_output=True,
    )  # fmt: skip
    key = certificate.with_name("key.pem")
    arguments = ("--auto-create-topics", "--sasl", "--tls-certificate", str(certificate), "--tls-key", str(key))
    with BrokerProcess(data_dir, arguments=arguments) as broker:
        yield broker


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_librdkafka_logs_in(secured: BrokerProcess, certificate: Path, topic: str, mechanism: str) -> None:
    producer = Producer(
        {
            "bootstrap.servers": secured.address,
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(certificate),
            "sasl.mechanism": mechanism,
            "sasl.username": "ana",
            "sasl.password": "s3cret",
        }
    )
    errors: list[object] = []
    producer.produce(topic, b"x" * 500_000, on_delivery=lambda error, _: errors.append(error))
    producer.flush(20)
    assert errors == [None]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_kafka_python_logs_in(secured: BrokerProcess, certificate: Path, topic: str, mechanism: str) -> None:
    producer = KafkaProducer(
        bootstrap_servers=secured.address,
        security_protocol="SASL_SSL",
        ssl_cafile=str(certificate),
        sasl_mechanism=mechanism,
        sasl_plain_username="ana",
        sasl_plain_password="s3cret",
    )
    assert producer.send(topic, b"x").get(20).offset == 0
    producer.close()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
@pytest.mark.parametrize(("user", "password"), [("ana", "wrong"), ("nobody", "s3cret")])
def test_wrong_credentials_are_refused_and_logged(
    secured: BrokerProcess, certificate: Path, mechanism: str, user: str, password: str
) -> None:
    refused: list[confluent_kafka.KafkaError] = []
    settings: dict[str, Any] = {
        "bootstrap.servers": secured.address,
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": str(certificate),
        "sasl.mechanism": mechanism,
        "sasl.username": user,
        "sasl.password": password,
        "error_cb": refused.append,
        "log_level": 0,
    }
    admin = AdminClient(settings)
    deadline = time.monotonic() + 10
    while not any(error.code() == confluent_kafka.KafkaError._AUTHENTICATION for error in refused):
        assert time.monotonic() < deadline, refused
        with pytest.raises(confluent_kafka.KafkaException):
            admin.list_topics(timeout=0.1)
        admin.poll(0.1)
    assert "login refused for 127.0.0.1:" in secured.log()


def test_nothing_is_answered_before_authentication(tmp_path: Path) -> None:
    """On loopback with SASL, also without TLS."""
    Users(tmp_path / USERS_FILE, FileSystem()).set_password("ana", "x")
    with BrokerProcess(tmp_path, arguments=("--sasl",)) as broker:
        with socket.create_connection(("127.0.0.1", broker.port), timeout=5) as unauthenticated:
            body = struct.pack(">hhih", 3, 0, 1, -1) + struct.pack(">i", 0)
            unauthenticated.sendall(struct.pack(">i", len(body)) + body)
            with contextlib.suppress(ConnectionResetError):
                assert unauthenticated.recv(100) == b""
        with pytest.raises(KafkaError):
            KafkaProducer(bootstrap_servers=broker.address, bootstrap_timeout_ms=300)


def test_passwords_are_stored_salted_and_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NotATerminal:
        def isatty(self) -> bool:
            return False

        def readline(self) -> str:
            return "hunter2\n"

    monkeypatch.setattr(sys, "stdin", NotATerminal())
    assert add_user(["--data-dir", str(tmp_path), "bea"]) == 0
    stored = (tmp_path / USERS_FILE).read_text()
    assert "hunter2" not in stored
    assert (tmp_path / USERS_FILE).stat().st_mode & 0o077 == 0
    users = Users(tmp_path / USERS_FILE, FileSystem())
    assert users.check_password("bea", "hunter2")
    assert not users.check_password("bea", "hunter3")
    first = users.get("bea", "SCRAM-SHA-256")
    users.set_password("bea", "hunter2")
    assert users.get("bea", "SCRAM-SHA-256") != first, "a fresh salt each time"


@pytest.mark.parametrize("arguments", [(), ("--sasl",)])
def test_an_open_listener_without_tls_and_sasl_does_not_start(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    Users(tmp_path / USERS_FILE, FileSystem()).set_password("ana", "x")
    ended = subprocess.run(
        [sys.executable, "-m", "streamguard_broker", "--data-dir", str(tmp_path), "--listen", "0.0.0.0:0", *arguments],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "0.0.0.0 can be reached from outside: listening there needs --sasl" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])
def test_a_listener_on_all_addresses_says_by_which_it_is_reached(tmp_path: Path, certificate: Path, host: str) -> None:
    Users(tmp_path / USERS_FILE, FileSystem()).set_password("ana", "x")
    tls = ("--tls-certificate", str(certificate), "--tls-key", str(certificate.with_name("key.pem")))
    for advertise in ((), ("--advertise", f"{host}:9092")):
        ended = subprocess.run(
            [sys.executable, "-m", "streamguard_broker", "--data-dir", str(tmp_path), "--listen", f"{host}:0", "--sasl",
             *tls, *advertise],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        assert ended.returncode == 1
        assert f"Clients cannot connect to {host.strip('[]')}" in ended.stderr and "--advertise" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_clients_are_given_the_advertised_address(tmp_path: Path, topic: str) -> None:
    """By Metadata, FindCoordinator and DescribeCluster; a client that connects by another address goes on there."""
    port = free_port()
    with BrokerProcess(tmp_path / "b", port, arguments=("--advertise", f"localhost:{port}", *AUTO_CREATE)) as broker:
        admin = AdminClient({"bootstrap.servers": broker.address})
        assert [(str(b.host), b.port) for b in admin.list_topics(timeout=10).brokers.values()] == [("localhost", port)]
        described = admin.describe_cluster(request_timeout=10).result()
        assert (described.controller.host, described.controller.port) == ("localhost", port)
        producer = KafkaProducer(bootstrap_servers=broker.address)
        assert producer.send(topic, b"x").get(20).offset == 0
        producer.close()
        consumer = KafkaConsumer(topic, bootstrap_servers=broker.address, group_id="g", auto_offset_reset="earliest")
        assert next(consumer).value == b"x"
        consumer.commit()
        consumer.close()
        [group] = [g.result() for g in admin.describe_consumer_groups(["g"], request_timeout=10).values()]
        assert (group.coordinator.host, group.coordinator.port) == ("localhost", port)
        resource = ConfigResource(ConfigResource.Type.BROKER, "1")
        configs = admin.describe_configs([resource], request_timeout=10)[resource].result()
        assert configs["advertised.listeners"].value == f"PLAINTEXT://localhost:{port}"


def test_sasl_without_users_is_refused(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "streamguard_broker", "--data-dir", str(tmp_path), "--listen", "127.0.0.1:0", "--sasl"],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "there is no user" in ended.stderr
