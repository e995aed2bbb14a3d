"""A clone is as its repository has it, also with Git for Windows' settings (as in a folder shared with WSL)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support.project import PROJECT_ROOT


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


def test_line_ends_are_kept_whatever_git_is_set_to(tmp_path: Path) -> None:
    """With `\\r` at its end the line `#!/usr/bin/env bash` names a program that nobody has."""
    original = tmp_path / "original"
    original.mkdir()
    for name in (".gitattributes", "start.sh", "generate_transactions.py"):
        shutil.copy(PROJECT_ROOT / name, original / name)
    git(original, "init")
    git(original, "add", ".")
    git(original, "commit", "-m", "all")
    git(tmp_path, "-c", "core.autocrlf=true", "clone", str(original), "clone")
    for name in ("start.sh", "generate_transactions.py"):
        assert b"\r" not in (tmp_path / "clone" / name).read_bytes(), name
