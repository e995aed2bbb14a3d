"""Fixtures that many suites share: real parts, started once per run."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.support.broker import free_port
from tests.support.postgres import EmbeddedPostgres


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One Postgres for the whole run."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("pg") / "postgres", free_port())
    server.start()
    yield server
    server.kill(signal.SIGINT)


@pytest.fixture
def postgres(postgres_server: EmbeddedPostgres) -> EmbeddedPostgres:
    """The server, with an empty database."""
    postgres_server.wipe()
    return postgres_server
