"""One server over one broker for all tests of the endpoints; each test has streams of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.support.ksqldb import KsqlServerProcess, running_server

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def ksqldb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KsqlServerProcess]:
    quick = "ksql.server.command.response.timeout.ms=200"
    with running_server(tmp_path_factory.mktemp("ksqldb"), "--set", quick) as server:
        yield server


@pytest.fixture
def stream(ksqldb: KsqlServerProcess) -> str:
    """A new, empty stream (ID STRING KEY, AMOUNT DOUBLE) in one partition."""
    name = f"S{next(_numbers)}"
    ksqldb.ksql(
        f"CREATE STREAM {name} (id STRING KEY, amount DOUBLE) "
        f"WITH (KAFKA_TOPIC='{name.lower()}', VALUE_FORMAT='JSON', PARTITIONS=1);"
    )
    return name
