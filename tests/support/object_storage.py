"""An object storage for tests: moto's server as a process, which speaks S3. Nothing of it is imported here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import requests

from tests.support.broker import free_port

BUCKET = "streamguard"


@dataclass
class ObjectStorage:
    """Has one bucket, in memory: what is killed is empty afterwards. `folder` has the log."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def access(self) -> dict[str, str]:
        """As environment variables, or options of delta-rs."""
        keys = {"AWS_ACCESS_KEY_ID": "u", "AWS_SECRET_ACCESS_KEY": "p", "AWS_REGION": "us-east-1"}
        return {**keys, "AWS_ENDPOINT_URL": self.url, "AWS_ALLOW_HTTP": "true"}

    def start(self, timeout_s: float = 60.0) -> ObjectStorage:
        command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(self.port)]
        with (self.folder / "moto.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + timeout_s
        while True:
            assert time.monotonic() < deadline and self.process.poll() is None, "moto does not start"
            try:
                requests.put(f"{self.url}/{BUCKET}", timeout=10).raise_for_status()
                return self
            except requests.ConnectionError:
                time.sleep(0.05)

    def stop(self) -> None:
        """It takes connections and answers none."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
