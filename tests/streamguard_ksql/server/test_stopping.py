"""A server that is stopped while it still waits for Kafka ends cleanly."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.support.broker import free_port
from tests.support.processes import eventually


def test_stopped_before_it_serves(tmp_path: Path) -> None:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "streamguard_ksql.server",
        "--data-dir",
        str(tmp_path),
        "--listen",
        f"127.0.0.1:{port}",
    ]
    unused = f"127.0.0.1:{free_port()}"
    with subprocess.Popen([*command, "--bootstrap-servers", unused], stderr=subprocess.PIPE, text=True) as server:
        eventually(lambda: _is_taken(port), bool)
        server.send_signal(signal.SIGTERM)
        _, said = server.communicate(timeout=20)
    assert server.returncode == 0
    assert "Traceback" not in said


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
