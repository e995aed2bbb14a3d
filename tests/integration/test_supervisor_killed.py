"""kill -9 of supervisord: its parts end with it; what does not is named, ended by the next command, and never wiped under."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from streamguard.stack import launcher, locks
from streamguard.stack.conf import pid_file, surroundings
from streamguard.stack.down import wipe
from streamguard.stack.errors import StackError
from streamguard.stack.parts import by_name, embedded_parts
from streamguard.stack.postgres import programs_dir
from streamguard.stack.supervisor import Supervisor
from tests.integration.stackrun import StackRun
from tests.support.processes import eventually

pytestmark = pytest.mark.integration

PARTS = ["broker", "consumer", "ksqldb", "monitor", "postgres"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackRun]:
    """The stack, which has been started once; each test may run alone."""
    run = StackRun(tmp_path_factory.mktemp("killed") / "state")
    run.start_core()
    yield run
    run.stop("--wipe")


@pytest.fixture
def running(stack: StackRun) -> StackRun:
    stack.start_core()
    return stack


def kill_supervisor(stack: StackRun) -> None:
    process = psutil.Process(int(pid_file(stack.settings).read_text()))
    process.kill()
    psutil.wait_procs([process], timeout=30)


@contextmanager
def left_running(stack: StackRun, *names: str) -> Iterator[list[str]]:
    """Parts that run as under a supervisor, which is none that a command could ask; yields how messages name them."""
    parts, own_pid = by_name(embedded_parts(stack.settings)), stack.state / "test.pid"
    own_pid.write_text(str(os.getpid()))
    environment = {**os.environ, **stack.environment}
    with ExitStack() as processes:
        found = []
        for name in names:
            lock = locks.lock_file(stack.settings, name)
            given = stack.state / f"test.{name}.json"
            given.write_text(surroundings(stack.settings, parts[name]))
            start = [sys.executable, launcher.__file__, str(lock), str(own_pid), parts[name].stop_signal, str(given)]
            log = processes.enter_context((stack.state / "logs" / f"{name}.log").open("ab"))
            process = subprocess.Popen([*start, *parts[name].command], env=environment, stdout=log, stderr=log)
            processes.callback(process.wait, timeout=60)
            processes.callback(process.kill)
            found.append(f"{name} (process {process.pid})")
        wanted = sorted(names)
        eventually(lambda: locks.held(stack.settings), lambda held: held == wanted, 60, "the parts run")
        yield found


def test_every_part_ends_with_its_supervisor_and_postgres_cleanly(running: StackRun) -> None:
    assert locks.held(running.settings) == PARTS
    kill_supervisor(running)
    eventually(lambda: locks.held(running.settings), lambda names: not names, 60, "all parts have ended")
    assert "nothing runs" in running.stop()
    data = str(running.state / "postgres")
    said = subprocess.run([programs_dir() / "pg_controldata", data], capture_output=True, text=True, check=True)
    assert re.search(r"cluster state: +shut down\n", said.stdout)


def test_frozen_parts_are_ended_by_stop(running: StackRun) -> None:
    processes = Supervisor(running.settings).processes()
    for name in PARTS:
        os.kill(processes[name].pid, signal.SIGSTOP)
    kill_supervisor(running)
    # The system continues some of them (their process group has lost its parent), and not those that were just stopping.
    running.stop()
    assert locks.held(running.settings) == []


def test_what_lives_on_is_named_and_ended_by_stop(stack: StackRun) -> None:
    stack.stop()
    with left_running(stack, "broker", "postgres") as left:
        said = stack.streamguard("status", check=False)
        assert said.returncode == 1
        assert all(f"{name} runs without a supervisor" in said.stdout for name in left)
        said_by_stop = stack.stop()
        assert "nothing runs" not in said_by_stop
        assert all(name in said_by_stop for name in left)
    assert locks.held(stack.settings) == []


def test_a_start_ends_what_lives_on(stack: StackRun) -> None:
    stack.stop()
    with left_running(stack, "broker", "postgres") as left:
        said = stack.start_core()
        assert all(name in said for name in left)
        # What was started last is "starting" for supervisord until it has run for a second.
        status = lambda: stack.streamguard("status").stdout  # noqa: E731
        eventually(status, lambda shown: shown.count("running") == len(PARTS), 60, "all parts run")


def test_a_frozen_supervisor_is_ended_with_its_parts(running: StackRun) -> None:
    os.kill(int(pid_file(running.settings).read_text()), signal.SIGSTOP)
    assert "supervisord (process" in running.stop()
    assert locks.held(running.settings) == []


def test_nothing_is_wiped_under_a_live_process(stack: StackRun) -> None:
    stack.stop()
    with left_running(stack, "postgres"):
        with pytest.raises(StackError, match=r"nothing is wiped: postgres.* still uses"):
            wipe(stack.settings, print)
        assert (stack.state / "broker").exists() and (stack.state / "postgres").exists()
        stack.stop("--wipe")
    assert not (stack.state / "broker").exists() and not (stack.state / "postgres").exists()


def test_nothing_is_wiped_under_a_broker_that_was_started_by_hand(stack: StackRun, tmp_path: Path) -> None:
    stack.stop("--wipe")
    folder = stack.state / "broker"
    command = [sys.executable, "-m", "streamguard_broker", "--data-dir", str(folder), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as broker:
        try:
            eventually(lambda: (folder / "LOCK").exists(), bool, 60, "the broker runs")
            done = stack.run("./stop.sh", "--wipe", check=False)
            assert done.returncode == 1
            assert f"(process {broker.pid}) still uses {stack.state}" in done.stderr
            assert folder.exists()
        finally:
            broker.terminate()
