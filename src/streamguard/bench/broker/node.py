"""Our broker as a subprocess to measure, and what /proc says of a process."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

START_SECONDS = 20.0


_PORTS_PER_PROCESS = 100
_given: set[int] = set()


def free_port() -> int:
    """A TCP port on loopback that nobody uses right now, and that nobody else will take before its server listens.

    Linux gives 32768 and above to outgoing connections. While a server on such a port is down, a client's connection may
    sit on it; one that reconnects all the time may even be given the very port it asks for, and talk to itself. Below
    that, processes that look for ports at the same time look in different hundreds, and none is given twice.
    """
    first = 10_000 + os.getpid() % 220 * _PORTS_PER_PROCESS
    near = list(range(first, first + _PORTS_PER_PROCESS))
    for port in near + random.SystemRandom().sample(range(10_000, 32_000), 100):
        if port in _given:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _given.add(port)
            return port
    raise RuntimeError("no free port from 10000 to 32000")


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


@dataclass
class OurBroker:
    """`python -m streamguard_broker` in a folder of its own."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def __enter__(self) -> OurBroker:
        command = [sys.executable, "-m", "streamguard_broker", "--data-dir", str(self.folder), "--listen", self.address]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return self
            except OSError:
                time.sleep(0.005)
        raise RuntimeError("the broker does not answer")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
