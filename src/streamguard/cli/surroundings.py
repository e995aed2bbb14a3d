"""What the shell of whoever types a command may have done to it: others' packages, closed streams, warnings, no assertions."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress


def prepare() -> None:
    """Make this process independent of it; before anything else is imported that could meet it."""
    _open_closed_streams()
    _prefer_our_packages()
    if "PYTHONWARNINGS" in os.environ:
        # Meant for programs under development: as errors, warnings of libraries end commands.
        warnings.simplefilter("ignore")


def keep_assertions() -> None:
    """Begin this process anew where PYTHONOPTIMIZE leaves assertions out: kafka-python reads the end of an answer in one."""
    if sys.flags.optimize and os.environ.pop("PYTHONOPTIMIZE", ""):
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _open_closed_streams() -> None:
    """Give stdin, stdout and stderr, as far as they are closed, the null device.

    They would be None, and the next file or socket that is opened would have their number.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))


def _prefer_our_packages() -> None:
    """Behind our own packages comes what PYTHONPATH and the current folder have: a `kafka` there may be another one."""
    folders = {os.path.abspath(folder) for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder}
    with suppress(FileNotFoundError):
        folders.add(os.getcwd())
    others = [entry for entry in sys.path if not entry or os.path.abspath(entry) in folders]
    sys.path[:] = [entry for entry in sys.path if entry not in others] + others
