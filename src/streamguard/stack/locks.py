"""Who uses the state folder: the locks of its parts, the processes that hold them, and the lock of a start or a wipe.

Each part holds `run/NAME.lock`, shared, for as long as it or a child of it lives (`streamguard.stack.launcher`). A wipe takes
all of them alone, so that no part can start below it. A part that somebody has started by hand is found by its files.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from streamguard.config import Settings
from streamguard.stack.errors import StackError

_COMMAND = "command"


def folder(settings: Settings) -> Path:
    """Where the locks are."""
    return settings.state_path / "run"


def lock_file(settings: Settings, name: str) -> Path:
    """The lock of one part."""
    return folder(settings) / f"{name}.lock"


def held(settings: Settings) -> list[str]:
    """The names of the parts whose locks are held."""
    found = []
    for file in _lock_files(settings):
        with file.open("rb") as lock:
            if not _try_lock(lock.fileno()):
                found.append(file.stem)
    return found


@contextmanager
def command(settings: Settings, report: Callable[[str], None]) -> Iterator[None]:
    """Within it no other start or wipe changes the state folder; waits for one that does, and says so. Raises StackError."""
    file = lock_file(settings, _COMMAND)
    try:
        folder(settings).mkdir(mode=0o700, exist_ok=True)
        opened = os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w")
    except OSError as error:
        raise StackError(
            f"{file} cannot be written ({error.strerror}): work as the owner of the state folder"
        ) from None
    with opened as lock:
        if not _try_lock(lock.fileno()):
            report("another start or wipe of this folder is under way; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def alone(settings: Settings) -> Iterator[list[str]]:
    """Hold the locks of all parts; yields the names of those that are held by others."""
    with ExitStack() as files:
        locks = {file.stem: files.enter_context(file.open("rb")) for file in _lock_files(settings)}
        yield [name for name, lock in locks.items() if not _try_lock(lock.fileno())]


def holders(file: Path) -> list[psutil.Process]:
    """The processes that have `file` open, without this one and without the children of others among them."""
    found = {process.pid: process for process in _processes(lambda process: str(file) in _open_files(process))}
    return [process for process in found.values() if _parent(process) not in found]


def users(folders: Iterable[Path]) -> list[psutil.Process]:
    """The processes that work in one of `folders`, have a file of it open, or have it as an argument (`--data-dir`)."""
    roots = [str(path.resolve()) for path in folders if path.exists()]

    def uses(process: psutil.Process) -> bool:
        paths = [process.cwd(), *_open_files(process)]
        if any(path == root or path.startswith(root + os.sep) for path in paths for root in roots):
            return True
        return any(argument in roots for argument in process.cmdline())

    return _processes(uses) if roots else []


def _lock_files(settings: Settings) -> list[Path]:
    return [file for file in sorted(folder(settings).glob("*.lock")) if file.stem != _COMMAND]


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open_files(process: psutil.Process) -> list[str]:
    return [file.path for file in process.open_files()]


def _parent(process: psutil.Process) -> int | None:
    try:
        return int(process.ppid())
    except psutil.Error:
        return None


def _processes(matches: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    """Those that can be looked into; the locks tell of the others."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE and matches(process):
                found.append(process)
        except psutil.Error:
            continue
    return found
