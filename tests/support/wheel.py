"""The distribution, built from a copy of the tree: nothing that an earlier build left can get into it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.support.project import PROJECT_ROOT

_BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"
_LEFT_OUT = (".venv", ".git", ".streamguard", ".*_cache", "build", "dist", "*.egg-info", "__pycache__", "tests")


def copy_of_the_tree(folder: Path) -> Path:
    """The project below `folder`, symbolic links kept."""
    return Path(
        shutil.copytree(PROJECT_ROOT, folder / "tree", symlinks=True, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    )


def build_wheel(source: Path, output: Path) -> Path:
    """The wheel of the source tree."""
    return _build("build_wheel", source, output, "*.whl")


def build_sdist(source: Path, output: Path) -> Path:
    """The source distribution of the source tree."""
    return _build("build_sdist", source, output, "*.tar.gz")


def unpack(sdist: Path, folder: Path) -> Path:
    """The source tree of a source distribution."""
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (tree,) = folder.iterdir()
    return tree


def _build(kind: str, source: Path, output: Path, pattern: str) -> Path:
    output.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-W", "ignore", "-c", _BUILD, kind, str(output)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = output.glob(pattern)
    return built
