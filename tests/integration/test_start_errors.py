"""Starts that are interrupted, that come two at a time, or that a database refuses."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from streamguard.stack import locks
from streamguard.stack.supervisor import Supervisor
from tests.integration.stackrun import StackRun
from tests.support.processes import eventually
from tests.support.project import PROJECT_ROOT

pytestmark = [pytest.mark.integration, pytest.mark.soak]

CORE = ("./start.sh", "--no-generator", "--no-desk", "--rules", "core")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackRun]:
    run = StackRun(tmp_path_factory.mktemp("errors") / "state")
    yield run
    run.stop("--wipe")


def begun(stack: StackRun) -> subprocess.Popen[str]:
    """A start under way, in a process group of its own, as a shell at a terminal makes one."""
    return subprocess.Popen(
        CORE,
        cwd=PROJECT_ROOT,
        env={**os.environ, **stack.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def held(stack: StackRun) -> list[str]:
    """The parts that run."""
    return locks.held(stack.settings) if locks.folder(stack.settings).exists() else []


@pytest.mark.parametrize("part", ["nothing", "postgres"])
def test_ctrl_c_during_a_start_leaves_nothing_running(stack: StackRun, part: str) -> None:
    process = begun(stack)
    # As soon as the folder is locked supervisord is launched; a part runs a moment later.
    file = locks.lock_file(stack.settings, "command" if part == "nothing" else part)
    eventually(file.exists, bool)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert (process.returncode, said) == (130, "streamguard: interrupted; nothing was left running\n")
    assert not held(stack) and not Supervisor(stack.settings).alive()


def test_two_starts_at_once_give_one_stack(stack: StackRun) -> None:
    starts = [begun(stack), begun(stack)]
    said = [process.communicate(timeout=120) for process in starts]
    assert [process.returncode for process in starts] == [0, 0], said
    # The start does not wait for the monitor.
    eventually(lambda: held(stack), lambda parts: parts == ["broker", "consumer", "ksqldb", "monitor", "postgres"])
    assert not any(errors for _, errors in said)


def test_a_changed_password_holds_from_the_next_start_on(stack: StackRun) -> None:
    stack.stop("--keep")
    changed = StackRun(stack.state, {**stack.environment, "STREAMGUARD_POSTGRES_PASSWORD": "another"})
    changed.start_core()
    assert changed.streamguard("alerts", "list").returncode == 0
    other = StackRun(stack.state, {**stack.environment, "STREAMGUARD_POSTGRES_PASSWORD": "a third"})
    said = other.streamguard("alerts", "list", check=False)
    assert said.returncode == 1 and said.stderr.startswith("streamguard: the database (DATABASE_URL)"), said.stderr
