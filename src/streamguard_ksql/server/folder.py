"""The server's folder is one process's: what it writes there, two would overwrite for each other."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO


class FolderInUse(Exception):
    """Another server has the folder: the message for the person who started this one."""


def take(folder: Path) -> IO[bytes]:
    """Take the folder for as long as the file that is returned is open; it is made if need be. Raises FolderInUse."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "server.lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise FolderInUse(
            f"Another SQL engine that runs has the folder {folder}: stop that one, or give this one a folder of its own with"
            " --data-dir."
        ) from None
    return lock
