"""The launcher: a part ends with its supervisor, whichever way that ends, and its lock says that it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from streamguard.config import Settings, load_settings
from streamguard.stack import launcher, locks
from tests.support.processes import eventually

ODD = """a "b" 'c' %d ;e #f\nü"""
_PART = f"import os, time; assert os.environ['ODD'] == {ODD!r}; print('runs', flush=True); time.sleep(600)"
_SUPERVISOR = """
import os, pathlib, subprocess, sys
pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
subprocess.Popen(sys.argv[2:]).wait()
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "run").mkdir()
    return load_settings(state_dir=tmp_path)


def launch(settings: Settings, *options: str) -> list[str]:
    """The command line of a part `consumer` that prints a line and waits."""
    lock, pid_file = locks.lock_file(settings, "consumer"), settings.state_path / "pid"
    surroundings = settings.state_path / "consumer.json"
    surroundings.write_text(json.dumps({"directory": str(settings.state_path), "environment": {"ODD": ODD}}))
    start = [
        sys.executable,
        "-I",
        "-S",
        launcher.__file__,
        *options,
        str(lock),
        str(pid_file),
        "TERM",
        str(surroundings),
    ]
    return [*start, sys.executable, "-c", _PART]


@pytest.fixture(params=[(), (launcher.WATCH,)], ids=["by the system", "by a process"])
def supervisor(settings: Settings, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A process with one launched child, which runs."""
    command = [sys.executable, "-c", _SUPERVISOR, str(settings.state_path / "pid"), *launch(settings, *request.param)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n"
        yield process
        process.kill()


def test_a_part_ends_with_its_killed_supervisor(settings: Settings, supervisor: subprocess.Popen[str]) -> None:
    assert locks.held(settings) == ["consumer"]
    [part] = locks.holders(locks.lock_file(settings, "consumer"))
    assert part.ppid() == supervisor.pid
    supervisor.kill()
    supervisor.wait(timeout=30)
    psutil.wait_procs([part], timeout=30)
    eventually(lambda: locks.held(settings), lambda names: not names, say="the lock is free")


def test_a_part_that_ends_leaves_nothing(settings: Settings, supervisor: subprocess.Popen[str]) -> None:
    [part] = locks.holders(locks.lock_file(settings, "consumer"))
    part.kill()
    assert supervisor.wait(timeout=30) == 0
    eventually(lambda: locks.held(settings), lambda names: not names, say="the lock is free")
    watchers = [p for p in psutil.process_iter(["cmdline"]) if launcher.__file__ in (p.info["cmdline"] or ())]
    _, alive = psutil.wait_procs(watchers, timeout=30)
    assert not [p for p in alive if str(settings.state_path) in " ".join(p.cmdline())]


@pytest.mark.parametrize("content", [None, "", "1"])
def test_a_part_does_not_start_without_its_supervisor(settings: Settings, content: str | None) -> None:
    if content is not None:
        (settings.state_path / "pid").write_text(content)
    done = subprocess.run(launch(settings), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "has ended; this part does not start without it" in done.stderr and not done.stdout
