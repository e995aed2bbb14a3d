"""The broker's files as they are at one instant, for as long as it takes to copy them, while the broker goes on.

The broker is stopped (SIGSTOP) for the few milliseconds in which its files are opened. What it has written until then is what
a kill -9 would leave at that instant, and a start recovers from that. Afterwards segments only grow, every other file is
replaced by a new one, and an open file keeps its content when retention or compaction removes its name: of each the bytes up
to its size at that instant are copied.
"""

from __future__ import annotations

import io
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psutil

from streamguard.stack.errors import StackError

_LEFT_OUT = (".tmp", ".cleaned")
"""Files that are being written, which no start uses."""
_SMALL_BYTES = 64 * 1024
"""Up to here a file is read at once: there may be more small ones than files that may be open."""
_GUARD = "import os, sys; sys.stdout.write('.'); sys.stdout.flush(); sys.stdin.read(); os.kill(int(sys.argv[1]), 18)"
_STOPPED_WITHIN_S = 5.0


class BrokerFiles:
    """The files of a broker's folder at one instant; `close` it."""

    def __init__(self, folder: Path, pid: int) -> None:
        """`pid` is the broker that works on the folder. Raises StackError."""
        self._open: dict[str, tuple[int, IO[bytes]]] = {}
        _allow_many_files()
        try:
            with _stopped(pid):
                self._take(folder)
        except OSError as error:
            self.close()
            raise StackError(f"the broker's folder {folder} cannot be read: {error.strerror or error}") from None

    def _take(self, folder: Path) -> None:
        for root, _, names in os.walk(folder):
            for name in names:
                path = Path(root, name)
                if name == "LOCK" or name.endswith(_LEFT_OUT):
                    continue
                file: IO[bytes] = path.open("rb")
                size = os.fstat(file.fileno()).st_size
                if size <= _SMALL_BYTES:
                    with file:
                        file = io.BytesIO(file.read())
                self._open[path.relative_to(folder).as_posix()] = (size, file)

    @property
    def size(self) -> int:
        """The bytes of all."""
        return sum(size for size, _ in self._open.values())

    def __iter__(self) -> Iterator[tuple[str, int, IO[bytes]]]:
        """Path below the folder, size, and the file, which may be longer."""
        for name, (size, file) in sorted(self._open.items()):
            yield name, size, file

    def close(self) -> None:
        """Close the files."""
        for _, file in self._open.values():
            file.close()


def _allow_many_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else 65_536, hard))


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    """Within it the process stands still. A helper lets it go on should this process be killed."""
    helper = [sys.executable, "-I", "-S", "-c", _GUARD.replace("18", str(int(signal.SIGCONT))), str(pid)]
    with subprocess.Popen(
        helper, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as guard:
        assert guard.stdin is not None and guard.stdout is not None
        try:
            if guard.stdout.read(1) != b".":
                raise StackError("the helper of the backup could not be started: repeat the command")
            os.kill(pid, signal.SIGSTOP)
            _wait_until_stopped(pid)
            yield
        except ProcessLookupError:
            raise StackError("the broker ended at this moment: repeat the command") from None
        finally:
            # Its end continues the process.
            guard.stdin.close()
            guard.wait()


def _wait_until_stopped(pid: int) -> None:
    """Every thread stands still only a moment after the signal."""
    process, deadline = psutil.Process(pid), time.monotonic() + _STOPPED_WITHIN_S
    while not all(_stands_still(pid, thread.id) for thread in process.threads()):
        if time.monotonic() > deadline:
            raise StackError(f"the broker (process {pid}) cannot be stopped for a moment: repeat the command")
        time.sleep(0.001)


def _stands_still(pid: int, thread: int) -> bool:
    if not sys.platform.startswith("linux"):
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    try:
        text = Path(f"/proc/{pid}/task/{thread}/stat").read_text()
    except FileNotFoundError:
        return True
    return text.rpartition(")")[2].split()[0] in ("T", "t", "Z", "X")
