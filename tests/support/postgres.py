"""A real Postgres for tests: the embedded one, on a free port, in a temporary folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
import psycopg2.errors


@dataclass
class EmbeddedPostgres:
    """A server that can be stopped, killed and started again on the same data and port."""

    data_dir: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    password: str = "streamguard_2024"

    def url(self, database: str = "streamguard") -> str:
        return f"postgresql+psycopg2://streamguard:{quote(self.password, safe='')}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start and wait until it answers. Raises RuntimeError with its log if it ends first."""
        environment = {**os.environ, "DATABASE_URL": self.url()}
        command = [sys.executable, "-m", "streamguard.cli", "postgres", "--data-dir", str(self.data_dir)]
        log = self.data_dir.parent / "postgres.log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        deadline = time.monotonic() + 180
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Postgres did not start:\n{log.read_text()}")
            time.sleep(0.05)

    def answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg2.OperationalError:
            return False
        return True

    def connect(self, database: str = "streamguard") -> psycopg2.extensions.connection:
        connection = psycopg2.connect(
            host="127.0.0.1", port=self.port, user="streamguard", password=self.password, dbname=database
        )
        connection.autocommit = True
        return connection

    def kill(self, signal_number: int = signal.SIGKILL) -> None:
        """End the postmaster with a signal and wait for it."""
        assert self.process is not None
        self.process.send_signal(signal_number)
        self.process.wait(timeout=30)

    def wipe(self) -> None:
        """Drop every table: a fresh database without a fresh server."""
        connection = self.connect()
        with connection.cursor() as cursor:
            # A process of the tests that looks at several tables at this moment may hold one and wait for another.
            for tries_left in reversed(range(5)):
                try:
                    cursor.execute("DROP SCHEMA public CASCADE")
                    break
                except psycopg2.errors.DeadlockDetected:
                    if not tries_left:
                        raise
            cursor.execute("CREATE SCHEMA public")
        connection.close()

    def query(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        """The rows of one statement, run in a connection of its own."""
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, arguments or None)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()
