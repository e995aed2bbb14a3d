"""The whole stack under a stream of payments, disturbed in one way at a time: the tables end as if nothing had happened.

Each run sends the same seeded stream; the undisturbed one is the measure. kill -9 of every part is in test_stack.py.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from streamguard.config import PROJECT_ROOT
from tests.integration.stackrun import BIN, StackRun

pytestmark = [pytest.mark.integration, pytest.mark.soak]

COUNT = 50_000
# As fast as they are taken: a paced stream stamps its events by the wall clock, and no two runs would be alike.
STREAM = ("batch", "--count", str(COUNT), "--seed", "11", "--start", "2026-01-05T12:00:00Z")
AWAY_S = 30.0
DISK_MB = 800
DISK_FULL_S = 8.0
SHIM = PROJECT_ROOT / "tests" / "support" / "clock_shift.c"

Snapshot = dict[str, list[tuple[Any, ...]]]
IN_IS_OUT = (
    "SELECT (SELECT sum(records_read) FROM consumer_offsets WHERE topic = 'transactions'),"
    " (SELECT count(*) FROM transactions)"
    " + (SELECT count(*) FROM dead_letters WHERE source_topic = 'transactions')"
)


def play(stack: StackRun, disturb: Callable[[StackRun], None] | None = None) -> Snapshot:
    """Send the stream through an empty stack; `disturb` is called once part of it is stored."""
    stack.start("--no-generator")
    sending = stack.begin(BIN / "python", "generate_transactions.py", *STREAM)
    try:
        stack.wait_count("transactions", COUNT // 10)
        if disturb is not None:
            disturb(stack)
        assert sending.wait(timeout=240) == 0
    finally:
        sending.kill()
    stack.wait_count("transactions", COUNT, timeout_s=180)
    stack.wait_settled(quiet_s=5, timeout_s=120)
    [(read, kept)] = stack.query(IN_IS_OUT)
    assert read == kept
    return stack.snapshot()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    run = StackRun(tmp_path_factory.mktemp("calm") / "state")
    try:
        return play(run)
    finally:
        run.run("./stop.sh", "--wipe", check=False)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[StackRun]:
    run = StackRun(tmp_path / "state")
    yield run
    run.run("./stop.sh", "--wipe", check=False)


def same(found: Snapshot, wanted: Snapshot) -> None:
    for name, rows in wanted.items():
        assert found[name] == rows, name


def test_postgres_away_for_half_a_minute(stack: StackRun, undisturbed: Snapshot) -> None:
    def stop_it(run: StackRun) -> None:
        pid_file = run.state / "postgres" / "postmaster.pid"

        def signalled(number: int) -> None:
            with contextlib.suppress(OSError, IndexError):
                pid = int(pid_file.read_text().split()[0])
                # The file outlives a killed postmaster: the number may be somebody else's by now.
                if str(run.state).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, number)

        # Frozen, then killed as often as it comes back: first nothing answers, then nobody listens.
        assert pid_file.exists()
        signalled(signal.SIGSTOP)
        time.sleep(AWAY_S / 2)
        ended = time.monotonic() + AWAY_S / 2
        while time.monotonic() < ended:
            signalled(signal.SIGKILL)
            time.sleep(0.5)

    same(play(stack, stop_it), undisturbed)


def test_connections_cut_in_the_middle_of_transactions(stack: StackRun, undisturbed: Snapshot) -> None:
    def cut(run: StackRun) -> None:
        for _ in range(20):
            run.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'streamguard-consumer' AND pid <> pg_backend_pid()"
            )
            time.sleep(0.37)

    same(play(stack, cut), undisturbed)


def test_the_clock_set_back_an_hour(tmp_path: Path, undisturbed: Snapshot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Python process of the stack reads a calendar that jumps back in mid-stream, and later forward again.

    Postgres, which changes its user, is not reached by the preloaded library; its clock only stamps rows.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here: the clock cannot be set back for our processes alone")
    library, shifted = tmp_path / "clock_shift.so", tmp_path / "shifted"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SHIM, "-ldl"], check=True)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)  # the database's user must get through
    environment = {"LD_PRELOAD": str(library), "CLOCK_SHIFT_FILE": str(shifted)}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stack = StackRun(tmp_path / "state")

    def set_back(run: StackRun) -> None:
        before = time.time()
        shifted.touch()
        seen = float(run.run(BIN / "python", "-c", "import time; print(time.time())").stdout)
        assert -3_600 <= seen - before < -3_500
        assert "running" in run.streamguard("status").stdout
        time.sleep(8)
        shifted.unlink()

    try:
        same(play(stack, set_back), undisturbed)
    finally:
        stack.run("./stop.sh", "--wipe", check=False)


def test_poison_in_each_topic(stack: StackRun, undisturbed: Snapshot) -> None:
    poison = [b"{", b"", None, b"[]", b'{"transaction_id": 7}', b"\xff\xfe", b'{"a": "' + b"x" * 2_000_000 + b'"}']
    topics = ("transactions", "fraud_alerts", "dead_letters")

    def spoil(run: StackRun) -> None:
        producer = KafkaProducer(bootstrap_servers=run.settings.kafka_bootstrap_servers, max_request_size=9_000_000)
        for topic in topics:
            for value in poison:
                producer.send(topic, key=b"BR-0000001", value=value)
        producer.flush(timeout=30)
        producer.close(timeout=2)

    found = play(stack, spoil)
    counts = stack.query("SELECT source_topic, count(*) FROM dead_letters GROUP BY 1 ORDER BY 1")
    assert counts == [("fraud_alerts", len(poison)), ("transactions", len(poison))]
    # Poison takes offsets in the log: everything but the offsets must be alike.
    strip = {"transactions": slice(0, -1), "fraud_alerts": slice(None), "alert_transactions": slice(None)}
    for name, part in {**strip, "decisions": slice(None)}.items():
        assert [row[part] for row in found[name]] == [row[part] for row in undisturbed[name]], name


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, small enough to be filled."""
    folder = tmp_path / "disk"
    folder.mkdir()
    size = f"size={DISK_MB}m,mode=0755"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small file system may be mounted here: {done.stderr.strip()}")
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    yield folder
    subprocess.run(["umount", "-l", folder], check=False)


def test_a_full_disk(small_disk: Path, undisturbed: Snapshot) -> None:
    """Log, engine and database run out of space together; once there is some again, all goes on by itself."""
    stack = StackRun(small_disk / "state")
    ballast = small_disk / "ballast"
    full = threading.Event()

    def fill(run: StackRun) -> None:
        ended = time.monotonic() + DISK_FULL_S
        with ballast.open("wb", buffering=0) as file:
            while time.monotonic() < ended:
                try:
                    file.write(b"\0" * 65_536)
                except OSError:
                    full.set()
                    time.sleep(0.05)
        ballast.unlink()

    try:
        same(play(stack, fill), undisturbed)
        assert full.is_set()
    finally:
        stack.run("./stop.sh", "--wipe", check=False)


def test_the_undisturbed_run_is_whole(undisturbed: Snapshot) -> None:
    assert len(undisturbed["transactions"]) == COUNT
    assert undisturbed["fraud_alerts"] and undisturbed["alert_transactions"]
    assert all(row[3] is not None for row in undisturbed["decisions"])
