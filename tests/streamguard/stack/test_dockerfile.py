"""The Dockerfile: linted by hadolint, and what this project asks of it besides."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import PROJECT_ROOT

FILE = PROJECT_ROOT / "Dockerfile"
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent))


def instructions() -> list[tuple[str, str]]:
    """Instruction and arguments, a line each; comments left out, continued lines joined."""
    text = re.sub(r"^#.*\n", "", FILE.read_text(), flags=re.MULTILINE).replace("\\\n", "")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines()) if word]


def last(name: str) -> str:
    return [arguments for word, arguments in instructions() if word == name][-1]


@pytest.mark.skipif(HADOLINT is None, reason="hadolint has no package for this machine")
def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([str(HADOLINT), FILE], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stdout, done.stdout + done.stderr


def test_the_image_is_slim_not_root_and_checks_its_health() -> None:
    stages = [arguments for word, arguments in instructions() if word == "FROM"]
    assert len(stages) == 2
    assert all(re.match(r"python:3\.\d+-slim", stage) for stage in stages)
    assert int(last("USER")) > 0
    assert last("HEALTHCHECK").endswith('CMD ["streamguard", "status"]')


def test_the_packages_are_the_locked_ones() -> None:
    installs = [
        part for word, line in instructions() if word == "RUN" for part in line.split("&&") if "pip install" in part
    ]
    assert installs
    for install in installs:
        assert (
            "--no-deps --require-hashes --requirement requirements.lock" in install
            or "--no-deps /dist/*.whl" in install
        )


def test_what_is_copied_is_in_the_context() -> None:
    context = (PROJECT_ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in context and "!.env" not in context
    for name in (line[1:] for line in context if line.startswith("!")):
        assert (PROJECT_ROOT / name).exists(), name
    links = [path.readlink().parts for path in (PROJECT_ROOT / "src/streamguard/data").rglob("*") if path.is_symlink()]
    for target in links:
        top = next(part for part in target if part != "..")
        assert f"!{top}" in context, top
