"""At a limit of connections or of open files the broker serves those it has and takes new clients in place of silent
sockets; it says which limit, once."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # re-exported without __all__
from kafka.protocol.metadata import ApiVersionsRequest

from streamguard_broker import listener as listener_module
from streamguard_broker.admission import Admission
from streamguard_broker.broker import Broker
from streamguard_broker.connection import Connection
from streamguard_broker.listener import Listener
from streamguard_broker.options import BrokerOptions
from streamguard_broker.security.users import USERS_FILE, Users
from streamguard_broker.storage.filesystem import FileSystem
from tests.support.broker import BrokerProcess
from tests.support.manual_clock import ManualClock
from tests.support.processes import eventually


def connect(broker: BrokerProcess) -> socket.socket:
    return socket.create_connection(("127.0.0.1", broker.port), timeout=10)


@contextlib.contextmanager
def sockets(broker: BrokerProcess, count: int) -> Iterator[list[socket.socket]]:
    """That many connections that send nothing."""
    opened = [connect(broker) for _ in range(count)]
    try:
        yield opened
    finally:
        for one in opened:
            one.close()


def is_closed(client: socket.socket) -> bool:
    """Whether the broker closes the connection; waits for it."""
    try:
        while client.recv(1000):
            pass
        return True
    except ConnectionError:
        return True


def speak(client: socket.socket) -> bool:
    """Send a valid request; whether it is answered."""
    request = ApiVersionsRequest[0]()
    request.with_header(correlation_id=1, client_id="test")
    try:
        client.sendall(bytes(request.encode(header=True, framed=True)))
        return bool(client.recv(1))
    except ConnectionError:
        return False


def answers(broker: BrokerProcess, **more: str) -> bool:
    client = AdminClient({"bootstrap.servers": broker.address, **more})
    return bool(client.list_topics(timeout=10).brokers)


def lines(broker: BrokerProcess, part: str) -> list[str]:
    return [line for line in broker.log().splitlines() if part in line]


def test_silent_sockets_lock_nobody_out(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path / "broker", arguments=("--max-connections", "40")) as broker:
        served = connect(broker)
        assert speak(served)
        with sockets(broker, 200) as silent:
            assert answers(broker)
            assert speak(served)
            assert is_closed(silent[0])
        served.close()
        (line,) = lines(broker, "at the limit of connections")
        assert "--max-connections=40" in line


def test_where_nobody_is_silent_a_new_connection_is_rejected(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path / "broker", arguments=("--max-connections", "5")) as broker:
        with sockets(broker, 5) as served:
            assert all(speak(one) for one in served)
            for _ in range(3):
                with connect(broker) as late:
                    assert is_closed(late)
            assert all(speak(one) for one in served)
        assert len(lines(broker, "was rejected")) == 1


def test_a_client_that_does_not_log_in_is_silent(tmp_path: Path) -> None:
    Users(tmp_path / USERS_FILE, FileSystem()).set_password("ana", "s3cret")
    login = {
        "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN",
        "sasl.username": "ana", "sasl.password": "s3cret",
    }  # fmt: skip
    with (
        BrokerProcess(tmp_path, arguments=("--sasl", "--max-connections", "10")) as broker,
        sockets(broker, 10) as strangers,
    ):
        assert all(speak(one) for one in strangers), "ApiVersions is answered before the login"
        assert answers(broker, **login)
        assert is_closed(strangers[0])


def test_sockets_in_a_tls_handshake_are_counted(tmp_path: Path, certificate: Path) -> None:
    tls = ("--tls-certificate", str(certificate), "--tls-key", str(certificate.with_name("key.pem")))
    with (
        BrokerProcess(tmp_path / "broker", arguments=(*tls, "--max-connections", "10")) as broker,
        sockets(broker, 30) as silent,
    ):
        assert answers(broker, **{"security.protocol": "SSL", "ssl.ca.location": str(certificate)})
        assert is_closed(silent[0])


def test_one_address_cannot_take_all(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path / "broker", arguments=("--max-connections-per-ip", "4")) as broker:
        with sockets(broker, 4) as served:
            assert all(speak(one) for one in served)
            with connect(broker) as fifth:
                assert is_closed(fifth)
            other = socket.create_connection(("127.0.0.1", broker.port), 10, source_address=("127.0.0.2", 0))
            assert speak(other)
            other.close()
        assert "--max-connections-per-ip=4" in lines(broker, "at the limit")[0]


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit")
def test_open_files_run_out(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path / "broker", arguments=("--reserved-files", "40")) as broker:
        assert broker.process is not None
        admin = AdminClient({"bootstrap.servers": broker.address})
        admin.create_topics([NewTopic("before", 1, 1)])["before"].result(10)
        resource.prlimit(broker.process.pid, resource.RLIMIT_NOFILE, (120, 120))
        with sockets(broker, 300) as silent:
            assert answers(broker)
            assert is_closed(silent[0])
            admin.create_topics([NewTopic("after", 5, 1)])["after"].result(10)
            producer = Producer({"bootstrap.servers": broker.address, "message.timeout.ms": 10_000})
            failed = []
            for topic in ("before", "after"):
                producer.produce(topic, b"x", callback=lambda error, _: failed.append(error) if error else None)
            assert producer.flush(20) == 0 and not failed
        (line,) = lines(broker, "at the limit of connections")
        assert "120 files (ulimit -n)" in line
        assert "Traceback" not in broker.log()


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit")
def test_who_is_served_is_served_on_where_no_file_is_left(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path / "broker") as broker:
        assert broker.process is not None
        served = connect(broker)
        assert speak(served)
        used = psutil.Process(broker.process.pid).num_fds()
        resource.prlimit(broker.process.pid, resource.RLIMIT_NOFILE, (used, used))
        with sockets(broker, 20):
            assert all(speak(served) for _ in range(50))
            eventually(lambda: len(lines(broker, "at the limit of connections")), lambda count: count == 1)
        served.close()
        assert "Traceback" not in broker.log()


class Exhausted(socket.socket):
    """A listening socket of a process that has no file left until `relieved`."""

    relieved = False
    accepts = 0

    def accept(self) -> tuple[socket.socket, Any]:
        self.accepts += 1
        if not self.relieved:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


@pytest.mark.parametrize(("pause_s", "goes_on"), [(3600, False), (0.01, True)])
def test_where_no_file_is_left_accepting_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pause_s: float, goes_on: bool
) -> None:
    monkeypatch.setattr(listener_module, "_PAUSE_SECONDS", pause_s)

    async def scenario() -> None:
        broker = Broker(BrokerOptions(tmp_path))
        admission: Admission[Connection] = Admission(broker.options, broker.clock)
        listener = Listener(broker, admission, None)
        listening = Exhausted()
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        with socket.create_connection(("127.0.0.1", listener.serve([listening]))):
            while not listening.accepts:
                await asyncio.sleep(0)
            if goes_on:
                listening.relieved = True
                while not len(admission):
                    await asyncio.sleep(0)
            else:
                for _ in range(1000):
                    await asyncio.sleep(0)
                assert listening.accepts == 1, "a ready socket is not looked at again at once"
        listener.close()
        await broker.close()

    asyncio.run(scenario())


def test_no_answer_waits_for_the_acknowledgement_of_another(tmp_path: Path) -> None:
    async def scenario() -> None:
        broker = Broker(BrokerOptions(tmp_path))
        admission: Admission[Connection] = Admission(broker.options, broker.clock)
        made: list[asyncio.BaseTransport] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Connection, "connection_made", lambda _, transport: made.append(transport))
            listener = Listener(broker, admission, None)
            with socket.create_connection(("127.0.0.1", listener.open("127.0.0.1", 0))):
                while not made:
                    await asyncio.sleep(0)
                accepted = made[0].get_extra_info("socket")
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                made[0].close()
            listener.close()
        await broker.close()

    asyncio.run(scenario())


@dataclass(eq=False)
class Fake:
    """A connection without a socket."""

    opened_ms: int
    silent: bool = True
    host: str = "10.0.0.1"
    aborted: bool = False

    def abort(self) -> None:
        self.aborted = True


def test_near_the_limit_those_silent_for_too_long_go_oldest_first() -> None:
    clock = ManualClock()
    options = BrokerOptions(Path("/none"), max_connections=10, silent_timeout_ms=1000)
    admission: Admission[Fake] = Admission(options, clock, lambda: 1024)
    start = clock.now_ms
    every = [Fake(start, silent=number % 2 == 0) for number in range(9)]
    for one in every:
        assert admission.admit(one)
    clock.now_ms = start + 999
    admission.close_silent()
    assert not any(one.aborted for one in every)
    clock.now_ms = start + 1000
    admission.close_silent()
    assert [number for number, one in enumerate(every) if one.aborted] == [0, 2]
    assert (len(admission), admission.closed_silent) == (7, 2)


def test_far_from_a_limit_silent_connections_stay() -> None:
    clock = ManualClock()
    admission: Admission[Fake] = Admission(BrokerOptions(Path("/none"), max_connections=10), clock, lambda: 1024)
    one = Fake(clock.now_ms)
    assert admission.admit(one)
    clock.now_ms += 3_600_000
    admission.close_silent()
    assert not one.aborted
