"""The wheel, installed into a new environment and used in an empty folder, is what a clone is."""

from __future__ import annotations

import os
import site
import subprocess
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.stackrun import ALERTS, StackRun
from tests.support import pages
from tests.support.wheel import build_wheel, copy_of_the_tree

pytestmark = pytest.mark.integration

README = pages.blocks("README.md")[0].splitlines()
BATCH = ("generate", "batch", "--count", "3000", "--seed", "11")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel; the packages it depends on are those of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = build_wheel(copy_of_the_tree(folder), folder / "dist")
    venv.create(folder / "venv", with_pip=True)
    (packages,) = (folder / "venv").glob("lib/python3*/site-packages")
    # A path on its own: the .pth files in it, which lead to the checkout, are not read.
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))
    pip = folder / "venv" / "bin" / "pip"
    subprocess.run([pip, "install", "--quiet", "--no-index", "--no-deps", "--ignore-installed", wheel], check=True)
    return pip.parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    empty = tmp_path / "empty"
    empty.mkdir()
    return empty


@pytest.fixture
def stack(folder: Path) -> Iterator[StackRun]:
    """Addresses of its own; the state is where the commands put it."""
    run = StackRun(folder / ".streamguard")
    yield run
    run.stop("--wipe")


def command(programs: Path, folder: Path, stack: StackRun, *arguments: str) -> str:
    environment = {**os.environ, **stack.environment}
    for name in ("STREAMGUARD_STATE_DIR", "PYTHONPATH", "VIRTUAL_ENV"):
        environment.pop(name, None)
    done = subprocess.run(
        [programs / "streamguard", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def alerts_of_a_batch(stack: StackRun) -> list[tuple[object, ...]]:
    stack.wait_count("transactions", 3_000)
    stack.wait_settled()
    return sorted(stack.query(ALERTS))


def test_the_wheel_gives_in_an_empty_folder_what_a_clone_gives(
    programs: Path, folder: Path, stack: StackRun, tmp_path: Path
) -> None:
    imported = subprocess.run(
        [programs / "python", "-c", "import streamguard; print(streamguard.__file__)"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(imported.stdout.strip()).is_relative_to(programs.parent)
    said = command(programs, folder, stack, "up", "--no-generator")
    assert "Ready in" in said and "streamguard down" in said and "./" not in said.replace("://", "")
    assert README[:2] == ["pip install streamguard-*.whl", "streamguard up"]
    for line in README[2:-1]:
        command(programs, folder, stack, *line.split()[1:])
    command(programs, folder, stack, *BATCH)
    found = alerts_of_a_batch(stack)
    assert stack.query("SELECT count(*) FROM transactions") == [(3_000,)]
    assert [path.name for path in folder.iterdir()] == [".streamguard"]
    assert README[-1] == "streamguard down"
    assert "wiped the data" in command(programs, folder, stack, "down", "--wipe")
    assert not (folder / ".streamguard" / "postgres").exists()

    clone = StackRun(tmp_path / "state")
    clone.start("--no-generator")
    try:
        clone.generate(*BATCH[1:])
        assert found == alerts_of_a_batch(clone)
        assert found
    finally:
        clone.stop("--wipe")
