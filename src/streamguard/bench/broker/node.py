"""This broker as a subprocess to measure, free ports, and the memory of a process."""

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
_returned: set[int] = set()


def free_port() -> int:
    """A TCP port on loopback that is free now, and that no other process takes before a server listens on it.

    Linux assigns ports from 32768 to outgoing connections. While a server on such a port is down, a connection may have
    that port; a client that reconnects may even get the port that it connects to, and so connect to itself. Below that,
    processes that look for ports at the same time look in different hundreds, and none is returned twice.
    """
    first = 10_000 + os.getpid() % 220 * _PORTS_PER_PROCESS
    near = list(range(first, first + _PORTS_PER_PROCESS))
    for port in near + random.SystemRandom().sample(range(10_000, 32_000), 100):
        if port in _returned:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _returned.add(port)
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
    """`python -m streamguard_broker` on `folder`, from `with` until its end."""

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
        raise RuntimeError(f"the broker does not listen within {START_SECONDS:.0f} s")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
