"""One server for all tests of the shell, and the shell itself as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.ksqldb import KsqlServerProcess, running_server

Run = Callable[..., "subprocess.CompletedProcess[str]"]
CODE = "import sys; from streamguard_ksql.shell import main; sys.exit(main())"
SOURCES = """
CREATE STREAM payments (id STRING KEY, amount DOUBLE, note STRING)
  WITH (KAFKA_TOPIC='payments', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE TABLE totals AS SELECT id, COUNT(*) AS n FROM payments GROUP BY id EMIT CHANGES;
INSERT INTO payments VALUES ('a', 10.5, 'short');
INSERT INTO payments VALUES ('b', 3E10, 'a note that is far too long for one line of a narrow column');
"""


@pytest.fixture(scope="session")
def ksqldb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KsqlServerProcess]:
    with running_server(tmp_path_factory.mktemp("shell")) as server:
        server.ksql(SOURCES)
        yield server


def shell_environment(server: KsqlServerProcess, home: Path) -> dict[str, str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    return {**environment, "KSQLDB_URL": server.url, "HOME": str(home), "XDG_STATE_HOME": str(home / "state")}


@pytest.fixture
def ksql(ksqldb: KsqlServerProcess, tmp_path: Path) -> Run:
    """Run the shell with arguments; `stdin` is what it reads."""

    def run(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", CODE, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
            env={**shell_environment(ksqldb, tmp_path), **environment},
        )

    return run
