"""What the machine gives: disk, open files, memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from streamguard.config import UserError
from streamguard.stack import state
from streamguard.stack.doctor.base import Finding, Surroundings, check, halves
from streamguard.stack.health import processes

LEAST_INODES = 10_000
"""A segment of a partition is three files, and there are hundreds of partitions with the changelogs of queries."""
LEAST_MEMORY_BYTES = 500 * 1024 * 1024
"""The parts take about that much together before the first record."""


@check("State folder and limits")
def start(around: Surroundings) -> Iterator[Finding]:
    """What a start would reject: a folder that cannot be written to, of a newer program, without room; too few open files."""
    try:
        state.check(around.settings)
    except UserError as error:
        found = halves(str(error))
        no_room = "MiB are free" in str(error)
        yield Finding(str(error), "remove other files, or old records: `streamguard retention`") if no_room else found


@check("Disk")
def disk(around: Surroundings) -> Iterator[Finding]:
    """Inodes, and a file system that is read-only, which access rights do not show."""
    there = next(path for path in (around.settings.state_path, *around.settings.state_path.parents) if path.exists())
    yield from file_system(there, os.statvfs(there))


def file_system(folder: Path, found: os.statvfs_result) -> Iterator[Finding]:
    """What a file system lacks. One that counts no inodes has 0 in all."""
    if found.f_flag & os.ST_RDONLY:
        yield Finding(
            f"the file system of {folder} is read-only", "mount it for writing, or set STREAMGUARD_STATE_DIR to another"
        )
    if found.f_files and found.f_favail < LEAST_INODES:
        yield Finding(
            f"the file system of {folder} has room for {found.f_favail:,} files only ({LEAST_INODES:,} are needed)",
            f"remove small files: `df -i {folder}` shows how many there are",
        )


@check("Memory")
def memory(around: Surroundings) -> Iterator[Finding]:
    """What is free for a start; of a stack that runs, what is left."""
    available = min(psutil.virtual_memory().available, *_of_container())
    if available < LEAST_MEMORY_BYTES:
        yield Finding(
            f"{available // 2**20} MiB of memory are free; {LEAST_MEMORY_BYTES // 2**20} MiB are needed",
            "end other programs, or give the machine (the container) more memory",
        )


def _of_container(folder: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """What a limit of control groups (version 2) leaves, where there is one."""
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
    except (OSError, ValueError):
        return [2**63]
    return [max(0, int(limit) - used)] if limit.isdigit() else [2**63]


@check("Processes without a supervisor")
def leftovers(around: Surroundings) -> Iterator[Finding]:
    """Parts that live on after their supervisor."""
    for finding in processes.left_running(around.parts):
        yield halves(finding.sentence)
