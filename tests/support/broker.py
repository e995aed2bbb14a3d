"""This project's broker for tests: a subprocess on a free port that can be stopped, killed and started again.

with BrokerProcess(tmp_path / "broker") as broker:
    KafkaProducer(bootstrap_servers=broker.address)
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from streamguard.bench.broker.node import free_port as free_port
from streamguard.bench.broker.node import resident_mb

START_SECONDS = 20.0
__all__ = ["BrokerProcess", "free_port"]


@dataclass
class BrokerProcess:
    """`python -m PROGRAM` on `data_dir`; the port stays over restarts. `log_path` has its stderr."""

    data_dir: Path
    port: int = field(default_factory=free_port)
    arguments: tuple[str, ...] = ()
    program: tuple[str, ...] = ("streamguard_broker",)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log_path(self) -> Path:
        return self.data_dir.with_name(self.data_dir.name + ".stderr")

    def log(self) -> str:
        """All lines logged so far."""
        return self.log_path.read_text() if self.log_path.exists() else ""

    def start(self) -> BrokerProcess:
        """Start and wait until the port answers. Raises RuntimeError with its log if it does not."""
        command = [sys.executable, "-m", *self.program, "--data-dir", str(self.data_dir)]
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--listen", self.address, *self.arguments], stderr=log, stdout=log, env=os.environ.copy()
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the broker ended with {self.process.returncode}:\n{self.log()}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return self
            except OSError:
                time.sleep(0.02)
        self.kill()
        raise RuntimeError(f"the broker does not answer:\n{self.log()}")

    def stop(self) -> int:
        """SIGTERM, wait; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def resident_mb(self) -> float:
        """Resident memory of the process."""
        assert self.process is not None
        return resident_mb(self.process.pid)

    def __enter__(self) -> BrokerProcess:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
