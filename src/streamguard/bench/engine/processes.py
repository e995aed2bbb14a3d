"""The processes that are measured: the engine's server and the bare consumer, each on a core of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import requests

from streamguard.bench.broker.node import free_port
from streamguard.config.http import http_session

START_SECONDS = 60.0
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def pin(pid: int, core: int | None) -> None:
    """Keep a process on one core, where there is more than one."""
    if core is not None and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(pid, {core})


@dataclass
class EngineProcess:
    """`python -m streamguard_ksql.server` on a broker."""

    folder: Path
    bootstrap_servers: str
    core: int | None = None
    share_as: str | None = None
    """Its name, where it is one of several."""
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def __enter__(self) -> EngineProcess:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "streamguard_ksql.server", "--data-dir", str(self.folder)]
        command += ["--listen", f"127.0.0.1:{self.port}", "--bootstrap-servers", self.bootstrap_servers]
        command += ["--share-as", self.share_as] if self.share_as else []
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        pin(self.process.pid, self.core)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with http_session(self.url) as session:
                    if session.get(f"{self.url}/info", timeout=1).ok:
                        return self
            except (requests.ConnectionError, requests.Timeout):
                time.sleep(0.01)
        raise RuntimeError(
            f"the engine does not answer within {START_SECONDS:.0f} s:\n{(self.folder / 'log').read_text()[-2000:]}"
        )

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
