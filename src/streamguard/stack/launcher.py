"""Start a part so that it ends with its supervisor, and mark that it runs.

    python -I -S launcher.py LOCK SUPERVISOR_PID_FILE SIGNAL SURROUNDINGS COMMAND...

1. A shared `flock` on LOCK is inherited by the command and its children: while it is held, the part is in use
   (`streamguard.stack.locks`). The system releases it when the last of them ends.
2. When the supervisor ends, whatever way, the part gets SIGNAL. Linux sends it (PR_SET_PDEATHSIG, prctl(2)); elsewhere a
   small process does, which looks for both five times a second.
3. SURROUNDINGS is a JSON file with the part's `directory` and `environment`: supervisord's configuration has no way to write
   every path and password, and a command line is read by everybody.
4. The command replaces this process, so that the supervisor has the part's own process id.

Run by its path with the standard library alone: it starts in a few milliseconds.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_GET_PDEATHSIG = 2
WATCH = "--watch"
"""As the first argument: use the small process on Linux too."""

_LOOK_EVERY_S = 0.2
_IS_LINUX = sys.platform.startswith("linux")


def main(arguments: list[str]) -> None:
    """Become the command. Raises SystemExit with a sentence where the part must not start."""
    watched = arguments[:1] == [WATCH] or not _IS_LINUX
    lock, pid_file, signal_name, surroundings, *command = arguments[1:] if arguments[:1] == [WATCH] else arguments
    supervisor, number = os.getppid(), signal.Signals[f"SIG{signal_name}"]
    held = _hold(Path(lock))
    if watched:
        _watch(os.getpid(), supervisor, number, held)
    else:
        end_with_parent(number)
    # It may have ended before the lines above: nobody would tell this process.
    if _pid_in(Path(pid_file)) != supervisor or os.getppid() != supervisor:
        raise SystemExit(f"the supervisor of {pid_file} has ended; this part does not start without it")
    _enter(Path(surroundings))
    os.execv(command[0], command)


def _enter(surroundings: Path) -> None:
    """Work in the folder and with the variables of the file. Raises SystemExit where that cannot be."""
    try:
        given = json.loads(surroundings.read_text(encoding="ascii"))
        os.chdir(given["directory"])
    except (OSError, ValueError) as error:
        raise SystemExit(f"{surroundings}: {error}; the next start writes it anew") from None
    os.environ.update(given["environment"])


def end_with_parent(number: int) -> None:
    """Linux: have the system send signal `number` to this process when its parent ends. An exec keeps that."""
    if _prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(number)) != 0:
        raise SystemExit(f"prctl(PR_SET_PDEATHSIG) failed: {os.strerror(ctypes.get_errno())}")


def death_signal() -> int:
    """The signal that this process gets when its parent ends; 0 for none, and where it is not the system that sends it."""
    number = ctypes.c_int(0)
    return number.value if _IS_LINUX and _prctl(_PR_GET_PDEATHSIG, ctypes.byref(number)) == 0 else 0


def _prctl(option: int, argument: object) -> int:
    return int(ctypes.CDLL(None, use_errno=True).prctl(option, argument, 0, 0, 0))


def _hold(lock: Path) -> int:
    """Lock the file, shared, for as long as this process or a child of it lives; returns its descriptor.

    Waits for a wipe that is under way.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    os.set_inheritable(descriptor, True)
    return descriptor


def _pid_in(pid_file: Path) -> int | None:
    try:
        return int(pid_file.read_text())
    except (OSError, ValueError):
        return None


def _watch(part: int, supervisor: int, number: int, held: int) -> None:
    """Leave a process behind, no child of the part, that ends with either of the two."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    if os.fork():
        os._exit(0)
    for descriptor in (0, 1, 2, held):
        os.close(descriptor)
    while _runs(part):
        if not _runs(supervisor):
            os.kill(part, number)
            break
        time.sleep(_LOOK_EVERY_S)
    os._exit(0)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    main(sys.argv[1:])
