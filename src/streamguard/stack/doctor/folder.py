"""The state folder: whose it is, what others may do with it, and who works in it beside its stack."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil

from streamguard.stack import locks
from streamguard.stack.conf import pid_file
from streamguard.stack.doctor.base import Finding, Surroundings, check
from streamguard.stack.privileges import can_cross_shut_folders

_DATABASE = ("postgres", "postgres.new")
"""Postgres keeps its own folder closed, and under root it belongs to another user."""


@check("Whose the state folder is")
def owner(around: Surroundings) -> Iterator[Finding]:
    """Files of another user, which a start by this one cannot write; and rights for others."""
    state = around.settings.state_path
    if not state.is_dir():
        return
    foreign = [path for path in _inside(state) if path.lstat().st_uid != os.geteuid()]
    if foreign:
        me, them = _name(os.geteuid()), _name(foreign[0].lstat().st_uid)
        more = f" and {len(foreign) - 1} more" if foreign[1:] else ""
        yield Finding(
            f"{foreign[0]}{more} in the state folder belong to {them}, and this user is {me}",
            f"`chown -R {me} {state}` without the folder postgres, or work as {them}",
        )
    allowed = 0o700 if can_cross_shut_folders() else 0o711
    if extra := stat.S_IMODE(state.stat().st_mode) & ~allowed & 0o777:
        yield Finding(
            f"others may use the state folder {state} (mode {stat.S_IMODE(state.stat().st_mode):04o}, {extra:03o} too much)",
            f"`chmod {allowed:o} {state}`",
        )


def _inside(state: Path) -> Iterator[Path]:
    """The folder, what is in it and one level below: what a start makes."""
    yield state
    for path in sorted(state.iterdir()):
        if path.name in _DATABASE:
            continue
        yield path
        if path.is_dir() and not path.is_symlink() and os.access(path, os.R_OK | os.X_OK):
            yield from sorted(path.iterdir())


@check("Two stacks on one state folder")
def strangers(around: Surroundings) -> Iterator[Finding]:
    """Processes that work with the data of the broker, the engine or Postgres and are none of the supervisor's."""
    if not around.runs:
        return
    state = around.settings.state_path
    ours = _descendants(int(pid_file(around.settings).read_text()))
    for process in locks.users([state / "broker", state / "ksqldb", *state.glob("ksqldb-*"), state / "postgres"]):
        if process.pid not in ours:
            yield Finding(
                f"{_command(process)} (process {process.pid}) works in {state} and is no part of the stack that runs there",
                f"end it (`kill {process.pid}`), or give it a STREAMGUARD_STATE_DIR of its own",
            )


def _descendants(pid: int) -> set[int]:
    try:
        first = psutil.Process(pid)
        return {pid, *(child.pid for child in first.children(recursive=True))}
    except psutil.Error:
        return {pid}


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()[:3]) or str(process.name())
    except psutil.Error:
        return "a process"


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
