"""The state folder: made by the first start, marked with the version of its format."""

from __future__ import annotations

import os
import re
import resource
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

from streamguard.config import Settings
from streamguard.config.visible import one_line
from streamguard.stack.errors import StackError

FORMAT = 1
"""Counts up with every change that an earlier program could not read."""

LEAST_FREE_BYTES = 500 * 1024 * 1024

LEAST_OPEN_FILES = 1024
"""What supervisord asks for; the broker has two files for each segment open."""


def check(settings: Settings) -> None:
    """Raises StackError where the folder cannot be made or written, is of a newer program, or has no room left.

    Makes and changes nothing.
    """
    state = settings.state_path
    for path in (state, Path(sys.executable)):
        if re.search(r"[\x00-\x1f\x7f]", str(path)):
            # supervisord's configuration has a line for each, and no way to write these in it.
            raise StackError(f"{one_line(path)} has a control character in its path: use another folder")
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < LEAST_OPEN_FILES:
        raise StackError(
            f"a process may open {files} files here, {LEAST_OPEN_FILES:,} are needed: raise the limit (`ulimit -n 4096`)"
        )
    present = next(folder for folder in (state, *state.parents) if folder.exists())
    if not present.is_dir() or not os.access(present, os.W_OK | os.X_OK):
        raise StackError(
            f"the state folder {state} cannot be written to: work in a folder of your own,"
            " or set STREAMGUARD_STATE_DIR to one"
        )
    _check_format(state)
    free = shutil.disk_usage(present).free
    if free < LEAST_FREE_BYTES:
        raise StackError(
            f"only {free // 2**20} MiB are free for {state} (STREAMGUARD_STATE_DIR);"
            f" {LEAST_FREE_BYTES // 2**20} MiB are needed"
        )


def make(settings: Settings) -> None:
    """Make the folder and write the version of its format. Raises StackError."""
    state = settings.state_path
    try:
        state.mkdir(parents=True, exist_ok=True)
        _version_file(state).write_text(f"{FORMAT}\nstreamguard {version('streamguard')}\n")
    except OSError as error:
        raise StackError(f"the state folder {state} (STREAMGUARD_STATE_DIR) cannot be made: {error.strerror}") from None


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
