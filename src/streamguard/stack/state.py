"""The state folder: made by the first start, for its owner alone, and marked with the version of its format."""

from __future__ import annotations

import os
import pwd
import re
import resource
import shutil
import stat
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from streamguard.config import Settings
from streamguard.config.visible import one_line
from streamguard.stack.errors import StackError
from streamguard.stack.privileges import can_cross_shut_folders, unprivileged_user

FORMAT = 1
"""Counts up with every change that an earlier program could not read."""

LEAST_FREE_BYTES = 500 * 1024 * 1024

RESTORE_FOLDER = "restore.new"
"""Where a restore builds; there only while one is under way, or was cut off."""
LEAST_OPEN_FILES, LEAST_PROCESSES = 1024, 200
"""What supervisord asks for; the broker has two files for each segment open, the engine a dozen of threads."""
_LIMITS = (
    (
        resource.RLIMIT_NOFILE,
        LEAST_OPEN_FILES,
        "a process may open {:,} files here, {:,} are needed: raise the limit (`ulimit -n 4096`)",
    ),
    (
        resource.RLIMIT_NPROC,
        LEAST_PROCESSES,
        "a user may have {:,} processes here, {:,} are needed: raise the limit (`ulimit -u 4096`)",
    ),
)

_DATABASE = ("postgres", "postgres.new")
"""Postgres keeps its own folder closed, which may belong to another user."""


def restore_folder(settings: Settings) -> Path:
    """The folder of a restore."""
    return settings.state_path / RESTORE_FOLDER


def check(settings: Settings, *, restoring: bool = False) -> None:
    """Raises StackError where the folder cannot be made or written, is of a newer program, or has no room left, and, unless
    `restoring`, where a restore was not finished.

    Makes and changes nothing.
    """
    state = settings.state_path
    for path in (state, Path(sys.executable)):
        if re.search(r"[\x00-\x1f\x7f]", str(path)):
            # supervisord's configuration has a line for each, and no way to write these in it.
            raise StackError(f"{one_line(path)} has a control character in its path: use another folder")
    for limit, least, sentence in _LIMITS:
        _, most = resource.getrlimit(limit)
        if most != resource.RLIM_INFINITY and most < least:
            raise StackError(sentence.format(most, least))
    _check_user(settings)
    present = next(folder for folder in (state, *state.parents) if folder.exists())
    if not present.is_dir() or not os.access(present, os.W_OK | os.X_OK):
        raise StackError(
            f"the state folder {state} cannot be written to: work in a folder of your own,"
            " or set STREAMGUARD_STATE_DIR to one"
        )
    _check_format(state)
    if not restoring and restore_folder(settings).exists():
        raise StackError(
            f"a restore into {state} is under way or was cut off: repeat `streamguard restore FILE`,"
            " or remove what it left with `streamguard down --wipe`"
        )
    free = shutil.disk_usage(present).free
    if free < LEAST_FREE_BYTES:
        raise StackError(
            f"only {free // 2**20} MiB are free for {state} (STREAMGUARD_STATE_DIR);"
            f" {LEAST_FREE_BYTES // 2**20} MiB are needed"
        )


def _check_user(settings: Settings) -> None:
    """Containers run as numbers that nobody has (`docker run --user 12345`); initdb does not."""
    made = (settings.state_path / "postgres" / "PG_VERSION").exists()
    user = os.geteuid() or unprivileged_user()[0]
    if made or "postgres" in settings.external:
        return
    try:
        pwd.getpwuid(user)
    except KeyError:
        raise StackError(
            f"user {user} has no name on this machine, which the embedded Postgres needs: give it one (a line of /etc/passwd),"
            " start as another user, or set DATABASE_URL to a Postgres elsewhere"
        ) from None


def make(settings: Settings) -> None:
    """Make the folder, close it and all in it to others, and write the version of its format. Raises StackError."""
    state = settings.state_path
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        _close(state)
        _version_file(state).write_text(f"{FORMAT}\nstreamguard {version('streamguard')}\n")
        _version_file(state).chmod(0o600)
    except OSError as error:
        raise StackError(f"the state folder {state} (STREAMGUARD_STATE_DIR) cannot be made: {error.strerror}") from None


def _close(state: Path) -> None:
    """Take from others what they may do with the folder and what is in it, as an earlier version or an umask gave it."""
    # A database that runs as another user passes through the folder, where it cannot be given the capability for that.
    state.chmod(0o700 if can_cross_shut_folders() else 0o711)
    for root, folders, files in os.walk(state):
        if Path(root) == state:
            folders[:] = [name for name in folders if name not in _DATABASE]
        for path in (Path(root, name) for name in (*folders, *files)):
            # What runs removes and renames its files meanwhile.
            with suppress(FileNotFoundError):
                mode = path.lstat().st_mode
                if not stat.S_ISLNK(mode) and mode & 0o077:
                    path.chmod(stat.S_IMODE(mode) & 0o700)


def _version_file(state: Path) -> Path:
    return state / "version"


def _check_format(state: Path) -> None:
    try:
        found, _, program = _version_file(state).read_text().partition("\n")
    except FileNotFoundError:
        return
    except OSError as error:
        raise StackError(f"{_version_file(state)} cannot be read: {error.strerror}") from None
    if not found.isdecimal():
        raise StackError(
            f"{_version_file(state)} has {found!r} instead of a format number: set STREAMGUARD_STATE_DIR to another folder"
        )
    if int(found) > FORMAT:
        raise StackError(
            f"the state folder {state} has format {found}, written by {program.strip() or 'a newer version'};"
            f" this version reads up to {FORMAT}: install a newer streamguard, or set STREAMGUARD_STATE_DIR"
        )
