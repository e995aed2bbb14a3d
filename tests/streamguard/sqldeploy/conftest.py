"""A SQL server over the shared broker, `streamguard` in processes of its own on it, and a consumer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.streamguard.cli.test_commands import Line
from tests.support.broker import BrokerProcess
from tests.support.desk import Desk
from tests.support.ksqldb import KsqlServerProcess
from tests.support.processes import Program


@pytest.fixture
def server(broker: BrokerProcess, tmp_path: Path) -> Iterator[KsqlServerProcess]:
    process = KsqlServerProcess(tmp_path, broker.address).start()
    yield process
    if process.process is not None and process.process.poll() is None:
        process.stop()


@pytest.fixture
def line(desk: Desk, server: KsqlServerProcess, monkeypatch: pytest.MonkeyPatch) -> Line:
    monkeypatch.setenv("KSQLDB_URL", server.url)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", server.bootstrap_servers)
    return Line(desk.postgres.url())


@pytest.fixture
def consumer(line: Line, desk: Desk, server: KsqlServerProcess, tmp_path: Path) -> Iterator[Program]:
    """`streamguard consume`, not started yet."""
    addresses = {"KAFKA_BOOTSTRAP_SERVERS": server.bootstrap_servers, "DATABASE_URL": desk.postgres.url()}
    program = Program("consumer", ["streamguard.cli", "consume"], addresses, tmp_path)
    yield program
    program.close()
