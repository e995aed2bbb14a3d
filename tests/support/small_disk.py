"""A file system of its own that is small enough to be filled, for tests."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class SmallDisk:
    """Mounted at `folder`."""

    folder: Path

    def fill(self, leave_bytes: int = 0) -> None:
        """Let no more room than this."""
        with (self.folder / "ballast").open("wb", buffering=0) as file:
            has = os.statvfs(self.folder)
            os.posix_fallocate(file.fileno(), 0, max(1, has.f_bavail * has.f_frsize - leave_bytes))

    def empty(self) -> None:
        """Give the room back."""
        (self.folder / "ballast").unlink()


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Makes the folder; skips the test where nothing may be mounted. Others than root get there, as Postgres has to."""
    folder.mkdir()
    options = f"size={megabytes}m,mode=0755"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small file system may be mounted here: {done.stderr.strip()}")
    for parent in folder.parents[:3]:
        parent.chmod(0o755)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
