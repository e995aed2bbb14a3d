"""Why a Kafka cannot be used: each fault is named in one sentence, by what a person types, within ten seconds."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from streamguard.config import Cluster, Security
from streamguard.kafka.diagnosis import diagnosis
from streamguard_broker.security.users import USERS_FILE, Users
from streamguard_broker.storage.filesystem import FileSystem
from tests.support.broker import BrokerProcess, free_port
from tests.support.postgres import EmbeddedPostgres
from tests.support.processes import Program, eventually
from tests.support.tls import Authority

PROTOCOL = "STREAMGUARD_KAFKA_SECURITY_PROTOCOL"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def ana(authority: Authority) -> Security:
    return Security("SASL_SSL", "SCRAM-SHA-512", "ana", "s3cret", authority.file)


class Brokers:
    """Brokers by what they ask for, each started once."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self._folder, self._authority = folder, authority
        self._started: dict[str, BrokerProcess] = {}

    def __getitem__(self, name: str) -> str:
        """plain, login, tls, both; expired and other: both, with a certificate that has expired, or of another host."""
        if name not in self._started:
            data_dir = self._folder / name / "data"
            data_dir.mkdir(parents=True)
            Users(data_dir / USERS_FILE, FileSystem()).set_password("ana", "s3cret")
            arguments: tuple[str, ...] = () if name in ("plain", "tls") else ("--sasl",)
            if name not in ("plain", "login"):
                hosts = "DNS:kafka.example.org" if name == "other" else "IP:127.0.0.1"
                made = self._authority.issue(name, hosts, -1 if name == "expired" else 2)
                arguments += ("--tls-certificate", str(made.file), "--tls-key", str(made.key))
            self._started[name] = BrokerProcess(data_dir, arguments=arguments).start()
        return self._started[name].address

    def close(self) -> None:
        for broker in self._started.values():
            broker.kill()


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Brokers]:
    started = Brokers(tmp_path_factory.mktemp("brokers"), authority)
    yield started
    started.close()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_kafka_that_can_be_used_has_no_problem(brokers: Brokers, ana: Security, mechanism: str) -> None:
    assert diagnosis(Cluster(brokers["both"], replace(ana, mechanism=mechanism))) is None  # type: ignore[arg-type]
    assert diagnosis(Cluster(brokers["login"], replace(ana, protocol="SASL_PLAINTEXT", ca_file=None))) is None
    assert diagnosis(Cluster(brokers["tls"], Security("SSL", ca_file=ana.ca_file))) is None
    assert diagnosis(Cluster(f"127.0.0.1:{free_port()},{brokers['plain']}")) is None, "one of the addresses is enough"


@pytest.mark.parametrize(
    ("broker", "change", "sentence"),
    [
        ("both", {"password": "wrong"}, "refuses the login of ana: check STREAMGUARD_KAFKA_SASL_USERNAME and"),
        ("both", {"username": "nobody"}, "refuses the login of nobody: check STREAMGUARD_KAFKA_SASL_USERNAME and"),
        ("both", {"mechanism": "PLAIN", "password": "wrong"}, "refuses the login of ana"),
        ("both", {"ca_file": None}, "has a certificate that is not trusted (unable to get local issuer certificate): set"),
        ("expired", {}, "has a certificate that has expired: it has to be renewed there"),
        ("other", {}, "has a certificate for another name than 127.0.0.1: use the name that it was made for"),
        ("plain", {}, f"does not speak TLS as SASL_SSL needs it: set {PROTOCOL}=SASL_PLAINTEXT"),
        ("login", {}, f"does not speak TLS as SASL_SSL needs it: set {PROTOCOL}=SASL_PLAINTEXT"),
        ("tls", {}, f"takes no logins: set {PROTOCOL}=SSL"),
        ("both", {"protocol": "SSL"}, f"asks for a login: set {PROTOCOL}=SASL_SSL"),
        ("both", {"protocol": "PLAINTEXT"}, f"speaks TLS alone: set {PROTOCOL}=SSL"),
        ("both", {"protocol": "SASL_PLAINTEXT"}, f"speaks TLS alone: set {PROTOCOL}=SASL_SSL"),
        ("plain", {"protocol": "SASL_PLAINTEXT"}, f"takes no logins: set {PROTOCOL}=PLAINTEXT"),
        ("login", {"protocol": "PLAINTEXT"}, f"asks for a login: set {PROTOCOL}=SASL_PLAINTEXT"),
    ],
)  # fmt: skip
def test_what_does_not_pass_by_waiting_is_named(
    brokers: Brokers, ana: Security, broker: str, change: dict[str, str], sentence: str
) -> None:
    address = brokers[broker]
    problem = diagnosis(Cluster(address, replace(ana, **change)))  # type: ignore[arg-type]
    assert problem is not None and problem.permanent
    assert str(problem).startswith(f"{address} ") and sentence in str(problem)
    assert "s3cret" not in str(problem)


def test_a_broker_that_is_down_or_silent_may_come_back(ana: Security) -> None:
    down = diagnosis(Cluster(f"127.0.0.1:{free_port()}", ana))
    assert down is not None and not down.permanent and "Connection refused" in str(down)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        for security in (ana, Security()):
            problem = diagnosis(Cluster(address, security), answer_s=0.2)
            assert problem is not None and not problem.permanent and "does not answer" in str(problem)


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_SSL"])
def test_one_that_closes_connections_may_be_at_its_limit(ana: Security, protocol: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def close() -> None:
            with suppress(OSError):
                while True:
                    listening.accept()[0].close()

        threading.Thread(target=close, daemon=True).start()
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        problem = diagnosis(Cluster(address, ana if protocol == "SASL_SSL" else Security()))
        assert problem is not None and not problem.permanent
        assert str(problem) == f"{address} closes the connection"
        listening.shutdown(socket.SHUT_RDWR)


def test_one_that_asks_for_a_certificate_says_so(authority: Authority, ana: Security) -> None:
    made, own = authority.issue("asking"), authority.issue("client")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.file, made.key)
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("127.0.0.1", 0)) as listening:
        asked: list[object] = []

        def serve() -> None:
            with suppress(OSError):
                while True:
                    accepted = listening.accept()[0]
                    with suppress(ssl.SSLError), context.wrap_socket(accepted, server_side=True) as connection:
                        asked.append(connection.getpeercert())

        threading.Thread(target=serve, daemon=True).start()
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        problem = diagnosis(Cluster(address, ana))
        assert problem is not None and problem.permanent and "asks for a certificate of the client: set" in str(problem)
        assert not asked
        diagnosis(Cluster(address, replace(ana, certificate=own.file, key=own.key)))
        assert asked
        listening.shutdown(socket.SHUT_RDWR)


def test_of_several_addresses_the_refusal_counts(brokers: Brokers) -> None:
    problem = diagnosis(Cluster(f"{brokers['login']},127.0.0.1:{free_port()}"))
    assert problem is not None and problem.permanent and "asks for a login" in str(problem)


FAULTS = {
    "both": ("wrong", "refuses the login of ana"),
    "expired": ("s3cret", "has a certificate that has expired"),
    "other": ("s3cret", "has a certificate for another name than 127.0.0.1"),
    "plain": ("s3cret", "does not speak TLS"),
}


@pytest.mark.parametrize(
    ("command", "broker"),
    [
        *(("topics list", broker) for broker in FAULTS),
        ("generate batch --count 1", "both"),
        ("generate batch --count 1", "plain"),
        ("groups list", "expired"),
        ("status", "both"),
    ],
)
def test_a_command_says_it_in_one_sentence(brokers: Brokers, authority: Authority, broker: str, command: str) -> None:
    password, sentence = FAULTS[broker]
    done = subprocess.run(
        [sys.executable, "-m", "streamguard.cli", *command.split()],
        env=os.environ | environment(brokers[broker], authority, password),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    [line] = [line for line in (done.stdout + done.stderr).splitlines() if sentence in line]
    assert brokers[broker] in line
    assert "Traceback" not in done.stderr


def environment(address: str, authority: Authority, password: str) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": address,
        "KSQLDB_URL": "http://127.0.0.1:1",
        "DATABASE_URL": "postgresql://x:y@127.0.0.1:1/z",
        "STREAMGUARD_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "STREAMGUARD_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "STREAMGUARD_KAFKA_SASL_USERNAME": "ana",
        "STREAMGUARD_KAFKA_SASL_PASSWORD": password,
        "STREAMGUARD_KAFKA_SSL_CAFILE": str(authority.file),
    }


def test_the_consumer_says_it_and_goes_on(
    brokers: Brokers, authority: Authority, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    given = environment(brokers["both"], authority, "") | {"DATABASE_URL": postgres.url()}
    given["STREAMGUARD_KAFKA_SASL_PASSWORD"] = "wrong"
    consumer = Program("consumer", ["streamguard.cli", "consume"], given, tmp_path)
    consumer.start()
    try:
        said = eventually(consumer.said, lambda said: "refuses the login of ana" in said)
        [line, *_] = [line for line in said.splitlines() if "refuses the login of ana" in line]
        assert f"Kafka at {brokers['both']} is unavailable (" in line and "; retrying in " in line
        assert "Traceback" not in said
    finally:
        consumer.close()


@pytest.mark.parametrize("password", ["s3cret", "wrong"])
def test_topics_take_a_file_as_kafka_s_tools_do(
    brokers: Brokers, authority: Authority, tmp_path: Path, password: str
) -> None:
    file = tmp_path / "client.properties"
    module = "org.apache.kafka.common.security.scram.ScramLoginModule"
    file.write_text(
        "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-256\n"
        f'sasl.jaas.config={module} required \\\n  username="ana" password="{password}";\n'
        f"ssl.truststore.type=PEM\nssl.truststore.location={authority.file}\n"
    )
    command = [sys.executable, "-m", "streamguard.cli", "topics", "--command-config", str(file), "list"]
    done = subprocess.run(
        [*command, "--bootstrap-servers", brokers["both"]], capture_output=True, text=True, timeout=60, check=False
    )
    if password == "wrong":
        assert done.returncode == 1 and "refuses the login of ana" in done.stderr
    else:
        assert done.returncode == 0 and "partitions" in done.stdout, done.stderr
