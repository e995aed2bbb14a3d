"""A Snowflake for tests: fakesnow as a process that can be killed and started again."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.support.broker import free_port
from tests.support.project import PROJECT_ROOT


@dataclass
class SnowflakeProcess:
    """Its tables are in files below `folder`; the port stays over restarts."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, timeout_s: float = 60.0) -> SnowflakeProcess:
        command = [sys.executable, "-m", "tests.support.fakesnow_server", str(self.port), str(self.folder)]
        with self.folder.with_name(self.folder.name + ".log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=PROJECT_ROOT)
        deadline = time.monotonic() + timeout_s
        while True:
            assert time.monotonic() < deadline and self.process.poll() is None, "fakesnow does not start"
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                time.sleep(0.05)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def ask(self, database: str, question: str) -> list[tuple[Any, ...]]:
        """The rows of a statement, by a connection of its own."""
        connect = import_module("snowflake.connector").connect
        options = {"host": "127.0.0.1", "port": self.port, "protocol": "http", "account": "fakesnow"}
        options |= {"user": "u", "password": "p", "database": database, "schema": "PUBLIC", "network_timeout": 10}
        options["session_parameters"] = {"CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False}
        with closing(connect(**options)) as connection, closing(connection.cursor()) as cursor:
            found: list[tuple[Any, ...]] = cursor.execute(question).fetchall()
            return found
