"""A MongoDB for tests: SecantusDB as a process on a free port, or the server of STREAMGUARD_TEST_MONGODB_URL."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymongo
from pymongo.errors import PyMongoError

from tests.support.broker import free_port

ELSEWHERE = os.environ.get("STREAMGUARD_TEST_MONGODB_URL", "")


@dataclass
class MongoProcess:
    """SecantusDB on `folder`; the port stays over restarts. Nothing of it is imported here: it speaks MongoDB's protocol."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/streamguard"

    def start(self, timeout_s: float = 60.0) -> MongoProcess:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [str(Path(sys.executable).with_name("secantusd-py")), "--host", "127.0.0.1", "--port", str(self.port)]
        said = self.folder.with_name(self.folder.name + ".log")
        with said.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--storage-path", str(self.folder)], stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + timeout_s
        while True:
            client: Any = pymongo.MongoClient(self.url, serverSelectionTimeoutMS=200)
            try:
                client.admin.command("ping")
                return self
            except PyMongoError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise RuntimeError(f"SecantusDB does not start:\n{said.read_text()[-2_000:]}") from None
            finally:
                client.close()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@contextmanager
def mongodb(folder: Path) -> Iterator[str]:
    """The URL of a server; its database `streamguard` (or that of the URL) is the test's."""
    if ELSEWHERE:
        yield ELSEWHERE
        return
    server = MongoProcess(folder).start()
    try:
        yield server.url
    finally:
        server.kill()
