"""Start our own processes for a test, wait on what they achieve, and end them for certain."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Program:
    """One of our processes, that can be killed and started again."""

    name: str
    arguments: list[str]
    environment: dict[str, str]
    folder: Path
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.arguments],
                env={**os.environ, **self.environment},
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
            )

    def end(self, signal_number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal_number)
        return self.process.wait(timeout=30)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGKILL)

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def eventually(
    probe: Callable[[], T], wanted: Callable[[T], bool], timeout_s: float = 30.0, say: str | Callable[[], str] = ""
) -> T:
    """Ask until the answer is right; fails with the last answer when it does not come in time."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = probe()
        if wanted(answer):
            return answer
        if time.monotonic() > deadline:
            what = say() if callable(say) else say
            raise AssertionError(f"{what or 'not'} within {timeout_s:.0f} s; last seen: {answer!r}")
        time.sleep(0.05)
