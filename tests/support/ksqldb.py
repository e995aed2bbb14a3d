"""The engine's server for tests: a subprocess on a free port over a broker of our own, and its requests."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.support.broker import BrokerProcess, free_port

START_SECONDS = 30.0
V1 = "application/vnd.ksql.v1+json"
EARLIEST = {"auto.offset.reset": "earliest"}


@dataclass
class KsqlServerProcess:
    """`python -m streamguard_ksql.server`; the port stays over restarts. `log_path` has what it says."""

    folder: Path
    bootstrap_servers: str
    arguments: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    scheme: str = "http"
    client: dict[str, Any] = field(default_factory=dict)
    """What requests take to be let in: `auth`, `verify`."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.address}"

    @property
    def log_path(self) -> Path:
        return self.folder / "ksqldb.log"

    @property
    def command(self) -> list[str]:
        given = ["--data-dir", str(self.folder / "ksql"), "--listen", self.address]
        given += ["--bootstrap-servers", self.bootstrap_servers, *self.arguments]
        return [sys.executable, "-m", "streamguard_ksql.server", *given]

    def start(self) -> KsqlServerProcess:
        """Start and wait until /info answers. RuntimeError with its log if it does not."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                if requests.get(f"{self.url}/info", timeout=START_SECONDS, **self.client).ok:
                    return self
            except requests.ConnectionError:
                time.sleep(0.03)
        self.kill()
        raise RuntimeError(f"the ksql server does not answer:\n{self.log_path.read_text()}")

    def stop(self) -> int:
        """SIGTERM, wait; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def kill(self) -> None:
        """SIGKILL: what a crash is."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def resident_mb(self) -> float:
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    # --- requests -----------------------------------------------------------------------------------------------------

    def post(self, path: str, body: Any, accept: str = V1, **options: Any) -> requests.Response:
        given = {**self.client, **options}
        return requests.post(f"{self.url}{path}", json=body, headers={"Accept": accept}, timeout=30, **given)

    def ksql(self, sql: str, **body: Any) -> list[dict[str, Any]]:
        """Statements that have to succeed; the entities."""
        response = self.post("/ksql", {"ksql": sql, **body})
        assert response.status_code == 200, response.text
        return list(response.json())

    def refused(self, sql: str, path: str = "/ksql", **body: Any) -> dict[str, Any]:
        """A statement that has to be refused; the error's body."""
        response = self.post(path, {"ksql": sql, **body})
        assert response.status_code >= 400, response.text
        return dict(response.json())

    def rows(self, sql: str, properties: dict[str, str] | None = None) -> list[list[Any]]:
        """The rows of a query that ends."""
        body = {"sql": sql, "properties": EARLIEST if properties is None else properties}
        response = self.post("/query-stream", body, "application/json")
        assert response.status_code == 200, response.text
        return list(response.json()[1:])


@contextmanager
def running_server(
    folder: Path, *arguments: str, scheme: str = "http", client: dict[str, Any] | None = None
) -> Iterator[KsqlServerProcess]:
    """A server over a broker of its own."""
    with BrokerProcess(folder / "log") as broker:
        server = KsqlServerProcess(folder, broker.address, arguments, scheme=scheme, client=client or {}).start()
        try:
            yield server
        finally:
            if server.process is not None and server.process.poll() is None:
                server.stop()


def eventually(check: Any, seconds: float = 10.0) -> Any:
    """What `check` gives, once that is true; AssertionError if it never is."""
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, f"still {found!r} after {seconds} s"
        time.sleep(0.05)
