"""scripts/venv.sh on machines with habits of their own: pip's settings, a locale without letters beyond ASCII."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.support.project import PROJECT_ROOT


def sourced(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    script = f"set -euo pipefail; source scripts/venv.sh; {command}"
    return subprocess.run(
        ["bash", "-c", script], cwd=PROJECT_ROOT, env={**os.environ, **environment}, capture_output=True, text=True
    )


@pytest.mark.parametrize("habit", [{"PIP_USER": "1"}, {"PIP_TARGET": "/nowhere"}, {"PIP_PREFIX": "/nowhere"}])
def test_pip_installs_into_the_projects_folder_whatever_its_settings(habit: dict[str, str]) -> None:
    done = sourced("pip_install --no-index --no-deps no-such-package", **habit)
    assert "No matching distribution found for no-such-package" in done.stderr
    assert "user" not in done.stderr


def test_the_way_to_the_sources_is_ascii_wherever_the_clone_is() -> None:
    # Python reads the file in the encoding of the locale: under LC_ALL=C any other letter is an error.
    packages = Path(sysconfig.get_paths()["purelib"])
    [path_file] = packages.glob("__editable__.streamguard-*.pth")
    line = path_file.read_text(encoding="ascii").strip()
    assert not line.startswith("/")
    assert (packages / line).resolve() == PROJECT_ROOT / "src"
    done = sourced(".venv/bin/python -c 'import streamguard'", LC_ALL="C")
    assert (done.returncode, done.stderr) == (0, "")


def test_extras_are_the_names_behind_with() -> None:
    done = sourced("extras_of --no-desk --with lake,batch --rules core --with=mongodb")
    assert done.stdout.split() == ["lake", "batch", "mongodb"]
    assert sourced("extras_of --no-desk").stdout.split() == []


def test_a_name_that_is_no_extra_is_left_to_the_program() -> None:
    done = sourced("ensure_extras nope ../requirements")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


NOEXEC = """
mount -t tmpfs -o noexec none "$1" || exit 77
cp -r start.sh scripts pyproject.toml requirements*.lock "$1"
cd "$1"
bash start.sh
"""


def test_a_disk_that_runs_no_programs_is_one_sentence(tmp_path: Path) -> None:
    own = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--mount", "--map-root-user")
    try:
        done = subprocess.run(
            [*own, "sh", "-c", NOEXEC, "sh", str(tmp_path)],
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare, which mounts a disk for this test alone")
    if done.returncode == 77 or done.stderr.startswith("unshare: "):
        pytest.skip(f"a disk cannot be mounted here: {done.stderr}")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stdout + done.stderr
    assert done.stderr.startswith(f"StreamGuard cannot be installed in {tmp_path}: ")
