"""The `ksql` command finds the server where the stack's settings put it."""

from __future__ import annotations

import os
import subprocess

from tests.support.broker import free_port
from tests.support.project import PROJECT_ROOT


def _ksql(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROJECT_ROOT / ".venv" / "bin" / "ksql", "-e", "SHOW TOPICS;"],
        env={**{n: v for n, v in os.environ.items() if n != "KSQLDB_URL"}, **environment},
        capture_output=True,
        text=True,
    )


def test_the_port_of_the_settings_is_asked() -> None:
    port = str(free_port())
    asked = _ksql(STREAMGUARD_KSQLDB_PORT=port)
    assert asked.returncode == 1
    assert f"127.0.0.1:{port}" in asked.stderr
    named = _ksql(STREAMGUARD_KSQLDB_PORT="1", KSQLDB_URL=f"http://127.0.0.1:{port}")
    assert f"127.0.0.1:{port}" in named.stderr


def test_settings_that_are_wrong_are_told() -> None:
    asked = _ksql(STREAMGUARD_KSQLDB_PORT="many")
    assert asked.returncode == 2
    assert "STREAMGUARD_KSQLDB_PORT" in asked.stderr
    assert "Traceback" not in asked.stderr
