"""Commands of `streamguard` that the desk runs in the background: back-tests, deployments, shadows.

Each runs in a process of its own, as on the command line, and has a folder in the state folder with what was asked, what it
prints, and how it ended. A job survives a restart of the desk; so does what it has printed.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

import orjson
import psutil

from streamguard.config import Settings, UserError

RUNNING, DONE, FAILED, STOPPED = "running", "done", "failed", "stopped"
BACKTEST, DEPLOY, SHADOW, COMPARE, PROMOTE, DROP = (
    "back-test",
    "deployment",
    "shadow",
    "comparison",
    "promotion",
    "drop",
)

KEPT = 200
"""So many jobs are kept; the oldest that have ended go first."""
_MOST_OUTPUT = 400_000
_LONGEST = 4_000
_PROGRESS = re.compile(r"^progress (\d+) of (\d+)$")
# The shell writes how the command ended, so that it is known also where the desk was restarted meanwhile.
_RUN = 'out="$1"; shift; "$@"; echo $? > "$out.part"; mv "$out.part" "$out"'

_lock = threading.Lock()
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Asked:
    """What was asked: `arguments` of the command, who and why, the rule that it is about, where there is one."""

    kind: str
    arguments: list[str]
    by: str
    title: str
    reason: str = ""
    rule: str = ""

    def check(self) -> None:
        """Raise UserError for what no command line takes."""
        if any("\x00" in argument or len(argument) > _LONGEST for argument in self.arguments):
            raise UserError(f"a value has at most {_LONGEST:,} characters, and no NUL")


@dataclass(frozen=True)
class Job:
    """A job; `progress` is 0 to 1, None where it is not known. `lines` are what it has printed, without its progress."""

    number: int
    asked: Asked
    started_at: datetime
    state: str
    progress: float | None
    lines: list[str]

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.state == RUNNING

    @property
    def backtest_no(self) -> int | None:
        """The number under which its back-test is kept; None where it is none, or not kept."""
        found = [line for line in self.lines if line.startswith("kept as back-test ")]
        return int(found[-1].rsplit(" ", 1)[1]) if found and self.asked.kind == BACKTEST else None


class Jobs:
    """The jobs of a state folder."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.state_path / "desk" / "jobs"

    def start(self, asked: Asked, files: Mapping[str, str] | None = None) -> int:
        """Start a job; its number. `files` are written into its folder, where `arguments` name them as `{folder}/NAME`.

        Raises UserError where one of its kind runs.
        """
        asked.check()
        with _lock:
            for job in self.all():
                if job.is_running and job.asked.kind == asked.kind:
                    raise UserError(
                        f"a {asked.kind} of {job.asked.by} runs (job {job.number}): wait for its end, or stop it"
                    )
            number, folder = self._make_folder()
            for name, text in (files or {}).items():
                (folder / Path(name).name).write_text(text, encoding="utf-8")
            arguments = [argument.replace("{folder}", str(folder)) for argument in asked.arguments]
            self._launch(number, folder, Asked(**{**asdict(asked), "arguments": arguments}))
        return number

    def all(self) -> list[Job]:
        """The newest first."""
        if not self._folder.is_dir():
            return []
        numbers = sorted((int(entry.name) for entry in self._folder.iterdir() if entry.name.isdecimal()), reverse=True)
        return [job for number in numbers if (job := self.find(number)) is not None]

    def find(self, number: int) -> Job | None:
        """The job of this number."""
        folder = self._folder / f"{number:06d}"
        try:
            kept = orjson.loads((folder / "job.json").read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return None
        lines, progress = _output(folder / "output")
        started_at = datetime.fromtimestamp(kept["started_s"], timezone.utc)
        return Job(number, Asked(**kept["asked"]), started_at, _state(folder, kept), progress, lines)

    def stop(self, number: int) -> None:
        """End a job that runs, as Ctrl-C does on the command line."""
        folder = self._folder / f"{number:06d}"
        kept = orjson.loads((folder / "job.json").read_bytes())
        if _state(folder, kept) == RUNNING:
            (folder / "returncode").write_text("stopped\n")
            os.killpg(int(kept["pid"]), signal.SIGTERM)

    def _make_folder(self) -> tuple[int, Path]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        numbers = sorted(int(entry.name) for entry in self._folder.iterdir() if entry.name.isdecimal())
        for old in numbers[:-KEPT]:
            job = self.find(old)
            if job is None or not job.is_running:
                for file in (self._folder / f"{old:06d}").iterdir():
                    file.unlink()
                (self._folder / f"{old:06d}").rmdir()
        number = (numbers[-1] if numbers else 0) + 1
        folder = self._folder / f"{number:06d}"
        folder.mkdir(mode=0o700)
        return number, folder

    def _launch(self, number: int, folder: Path, asked: Asked) -> None:
        command = [sys.executable, "-m", "streamguard.cli", *asked.arguments]
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _RUN, "job", str(folder / "returncode"), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._settings.environment, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        _children[process.pid] = process
        kept = {
            "asked": asdict(asked),
            "started_s": time.time(),
            "pid": process.pid,
            "born_s": psutil.Process(process.pid).create_time(),
        }
        (folder / "job.json").write_bytes(orjson.dumps(kept))


def _state(folder: Path, kept: Mapping[str, float]) -> str:
    ended = _ended(folder)
    if ended is None and not _is_alive(int(kept["pid"]), kept["born_s"]):
        # It may have ended between the two looks.
        ended = _ended(folder) or "stopped"
    if ended is None:
        return RUNNING
    return DONE if ended == "0" else STOPPED if ended == "stopped" else FAILED


def _ended(folder: Path) -> str | None:
    try:
        return (folder / "returncode").read_text().strip()
    except OSError:
        return None


def _is_alive(pid: int, born_s: float) -> bool:
    if (child := _children.get(pid)) is not None and child.poll() is not None:
        del _children[pid]
        return False
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - born_s) < 2 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _output(file: Path) -> tuple[list[str], float | None]:
    """What was printed, and how far it is. Only the end of what is longer than half a megabyte."""
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - _MOST_OUTPUT))
            text = opened.read().decode("utf-8", "replace")
    except OSError:
        return [], None
    lines: list[str] = []
    progress = None
    for line in text.splitlines():
        if found := _PROGRESS.match(line):
            done, total = int(found[1]), int(found[2])
            progress = min(1.0, done / total) if total else None
        else:
            lines.append(line)
    return lines, progress


def options(name: str, values: Sequence[str]) -> list[str]:
    """An option that may be repeated; as one argument each, so that no value is taken for an option."""
    return [f"--{name}={value}" for value in values]
