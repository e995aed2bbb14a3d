"""Runs one command of ours as a process, again after a pause where it fails."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from streamguard.config import Settings
from streamguard.schedules.history import DONE, FAILED, INTERRUPTED, MOST_OUTPUT
from streamguard.schedules.plan import Entry

log = logging.getLogger("streamguard.schedules")

_MOST_LOG_BYTES = 5_000_000
_LOOK_S = 0.2
_ENDS_WITHIN_S = 20.0


@dataclass(frozen=True)
class Outcome:
    """How a run ended: after how many attempts, with which exit code of the last (None: killed at its time limit, or never
    started), and what that printed last."""

    status: str
    attempts: int
    exit_code: int | None
    output: str


def execute(settings: Settings, name: str, entry: Entry, stop: threading.Event) -> Outcome:
    """Run the command until it succeeds, or its retries are used up, or `stop` is set."""
    attempts = 0
    while True:
        attempts += 1
        code, output = _once(settings, name, entry, stop)
        if code == 0:
            return Outcome(DONE, attempts, code, output)
        if stop.is_set():
            return Outcome(INTERRUPTED, attempts, code, output)
        if attempts > entry.retries:
            return Outcome(FAILED, attempts, code, output)
        pause_s = entry.retry_after_s * 2 ** (attempts - 1)
        log.warning("%s failed (%s); again in %.0f s", name, _how(code), pause_s)
        if stop.wait(pause_s):
            return Outcome(INTERRUPTED, attempts, code, output)


def log_file(settings: Settings, name: str) -> Path:
    """What the runs of a job print, the file before it beside it with `.1`."""
    return settings.state_path / "logs" / "schedule-jobs" / f"{name}.log"


def _once(settings: Settings, name: str, entry: Entry, stop: threading.Event) -> tuple[int | None, str]:
    """The exit code, None where it was killed, and the end of what was printed."""
    file = log_file(settings, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        if file.stat().st_size > _MOST_LOG_BYTES:
            os.replace(file, file.with_name(f"{file.name}.1"))
    with file.open("ab") as out:
        begin = out.tell()
        process = subprocess.Popen(
            [sys.executable, "-I", "-u", "-m", "streamguard.cli", *entry.words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**os.environ, **settings.environment},
            start_new_session=True,
        )
        mark = file.with_suffix(".pid")
        mark.write_text(f"{process.pid} {_begun(process.pid)}\n")
        code = _wait(process, entry.timeout_s, stop)
        mark.unlink(missing_ok=True)
        if code is None and not stop.is_set():
            out.write(f"\nstopped after its time limit of {entry.timeout_s:g} s\n".encode())
    with file.open("rb") as printed:
        printed.seek(max(begin, file.stat().st_size - MOST_OUTPUT))
        return code, printed.read().decode("utf-8", "replace")


def _wait(process: subprocess.Popen[bytes], timeout_s: float, stop: threading.Event) -> int | None:
    """The exit code; None where it did not end in time or the schedule is stopped, and was ended with all its children."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and not stop.is_set():
        with suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=_LOOK_S)
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_ENDS_WITHIN_S)
            break
    return None


def end_leftovers(settings: Settings) -> None:
    """End commands of a schedule that was killed: they would run beside those that are made good."""
    for mark in log_file(settings, "any").parent.glob("*.pid"):
        pid, _, begun = mark.read_text(encoding="utf-8").strip().partition(" ")
        # A number is given to another process in time: only the one that began then is ours.
        if pid.isdigit() and begun and _begun(int(pid)) == begun:
            log.warning("%s still runs, of a schedule that was killed: ended", mark.stem)
            with suppress(ProcessLookupError):
                os.killpg(int(pid), signal.SIGKILL)
        mark.unlink(missing_ok=True)


def _begun(pid: int) -> str:
    """When a process began, as text; empty where there is none."""
    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return ""


def _how(code: int | None) -> str:
    return "it took too long" if code is None else f"exit code {code}"
