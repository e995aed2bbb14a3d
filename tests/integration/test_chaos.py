"""The whole stack under 2,000 payments a second, disturbed in one way at a time: the tables end as if nothing had happened.

Each run plays the same recording of a seeded stream, whose event times are its own: runs are alike however they are held up,
and the undisturbed one is the measure. 20,000 payments in the usual run, 50,000 with --soak. kill -9 of every part is here
for --soak only: test_stack.py does it each time.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from streamguard.producer.pace import Pacer
from streamguard.producer.runs import Recipe, Run
from streamguard.producer.sinks import FileSink
from streamguard.stack.status import look
from streamguard.stack.supervisor import Supervisor
from tests.integration.stackrun import BIN, StackRun
from tests.support.processes import eventually
from tests.support.project import PROJECT_ROOT
from tests.support.small_disk import small_disk

pytestmark = pytest.mark.integration

TPS = 2_000
TIME_SCALE = 60
"""Event time runs that much faster than the payments are sent: the windows of many minutes, open and closed, are at stake."""
START_MS = 1_767_614_400_000
"""2026-01-05, 12:00 UTC."""
SIZES = [20_000, pytest.param(50_000, marks=pytest.mark.soak)]
SOAK_ONLY = SIZES[1:]
AWAY_S = {20_000: 10.0, 50_000: 30.0}
"""How long Postgres is away, by the size of the run."""
NOISE_S = 60.0
"""How long random bytes come."""
KILL_S = 1.5
"""What a kill takes, about: waiting for the part, and half a second."""
DISK_MB = 800
DISK_FULL_S = 8.0
SHIM = PROJECT_ROOT / "tests" / "support" / "clock_shift.c"

Snapshot = dict[str, list[tuple[Any, ...]]]
IN_IS_OUT = (
    "SELECT (SELECT sum(records_read) FROM consumer_offsets WHERE topic = 'transactions'),"
    " (SELECT count(*) FROM transactions)"
    " + (SELECT count(*) FROM dead_letters WHERE source_topic = 'transactions'),"
    " (SELECT sum(records) FROM quality_minutes WHERE topic = 'transactions')"
)


@dataclass(frozen=True)
class Recording:
    """Payments in a file."""

    file: Path
    count: int


@pytest.fixture(scope="module", params=SIZES)
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    count = int(request.param)
    file = tmp_path_factory.mktemp("recording") / "payments.jsonl"
    run = Run(Recipe(seed=11, customers=8_000, mix={"velocity_burst": 0.02, "high_amount": 0.01}))
    # The clock stands still: nothing is ever late, so the recording is the same however busy the machine.
    pacer = Pacer(TIME_SCALE, clock=lambda: 0.0, sleep=lambda _: None)
    sink = FileSink(file)
    for record in run.stream(TPS, pacer, lambda: START_MS, count / TPS, TIME_SCALE):
        sink.send(record)
    sink.finish()
    sink.close()
    return Recording(file, count)


def play(
    stack: StackRun,
    recording: Recording,
    disturb: Callable[[StackRun], None] | None = None,
    slower: float = 1,
    options: Sequence[str] = (),
) -> Snapshot:
    """Send the stream through an empty stack; `disturb` is called once part of it is stored. `options` are those of its start."""
    count = recording.count
    takes_s = count / TPS * slower
    stack.start_core(*options)
    began = time.monotonic()
    speed = str(TIME_SCALE / slower)
    sending = stack.begin(BIN / "python", "generate_transactions.py", "replay", recording.file, "--speed", speed)
    try:
        stack.wait_count("transactions", count // 10 if slower == 1 else 1)
        if disturb is not None:
            disturb(stack)
        assert sending.wait(timeout=240 + takes_s) == 0
    finally:
        sending.kill()
        sending.wait()
    assert time.monotonic() - began >= takes_s, "sent faster than it was to be"
    stack.wait_count("transactions", count, timeout_s=180)
    stack.wait_settled(quiet_s=5, timeout_s=120)
    [(read, kept, counted)] = stack.query(IN_IS_OUT)
    assert read == kept == counted
    return stack.snapshot()


@pytest.fixture(scope="module")
def undisturbed(recording: Recording, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    run = StackRun(tmp_path_factory.mktemp("calm") / "state")
    try:
        return play(run, recording)
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


def test_postgres_away(stack: StackRun, recording: Recording, undisturbed: Snapshot) -> None:
    def stop_it(run: StackRun) -> None:
        pid_file = run.state / "postgres" / "postmaster.pid"

        def signalled(number: int) -> None:
            with contextlib.suppress(OSError, IndexError):
                pid = int(pid_file.read_text().split()[0])
                # The file outlives a killed postmaster: the number may be somebody else's by now.
                if str(run.state).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, number)

        away_s = AWAY_S[recording.count]
        # Frozen, then killed as often as it comes back: first nothing answers, then nobody listens.
        assert pid_file.exists()
        signalled(signal.SIGSTOP)
        time.sleep(away_s / 2)
        ended = time.monotonic() + away_s / 2
        while time.monotonic() < ended:
            signalled(signal.SIGKILL)
            time.sleep(0.5)

    same(play(stack, recording, stop_it), undisturbed)


def test_several_engines_and_consumers(stack: StackRun, recording: Recording, undisturbed: Snapshot) -> None:
    """Two of each, of which one is killed: the tables are those that one of each leaves. (The soak run kills both, thrice.)"""
    killed = (
        ("ksqldb-2", "consumer-2")
        if recording.count == min(AWAY_S)
        else ("ksqldb-2", "consumer-2", "ksqldb", "consumer") * 3
    )

    def kill(run: StackRun) -> None:
        shares = {engine.name: sum(engine.partitions.values()) for engine in look(run.settings).engines}
        assert set(shares) == {"engine-1", "engine-2"}
        assert all(shares.values()), shares
        for part in killed:
            run.kill(part)
            time.sleep(4 if len(killed) > 2 else 0)

    same(play(stack, recording, kill, options=("--engines", "2", "--consumers", "2")), undisturbed)


@pytest.mark.soak
def test_connections_cut_in_the_middle_of_transactions(
    stack: StackRun, recording: Recording, undisturbed: Snapshot
) -> None:
    """Twenty times, each at a moment in which the consumer has changed rows and not committed."""
    cuts: list[tuple[object, ...]] = []

    def cut(run: StackRun) -> None:
        ended = time.monotonic() + recording.count / TPS * 0.7
        while len(cuts) < 20 and time.monotonic() < ended:
            cuts.extend(
                run.query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'streamguard-consumer' AND backend_xid IS NOT NULL"
                )
            )
            time.sleep(0.02)

    same(play(stack, recording, cut), undisturbed)
    assert len(cuts) >= 5


@pytest.mark.parametrize("recording", SOAK_ONLY, indirect=True)
@pytest.mark.parametrize("part", ["consumer", "ksqldb", "broker"])
def test_kill_9_of(part: str, stack: StackRun, recording: Recording, undisturbed: Snapshot) -> None:
    def kill(run: StackRun) -> None:
        for _ in range(3):
            run.kill(part)
            time.sleep(4)

    same(play(stack, recording, kill), undisturbed)


@pytest.mark.parametrize("recording", SOAK_ONLY, indirect=True)
def test_a_thousand_kills(stack: StackRun, recording: Recording, undisturbed: Snapshot) -> None:
    """kill -9 of any part, again as soon as it is back; STREAMGUARD_TEST_KILLS for another number."""
    kills = int(os.environ.get("STREAMGUARD_TEST_KILLS", "1000"))
    killed: Counter[str] = Counter()
    chosen = random.Random(kills)

    def kill(run: StackRun) -> None:
        def killed_anew(part: str) -> bool:
            process = Supervisor(run.settings).processes()[part]
            if process.state != "RUNNING" or last.get(part) == process.pid:
                return False
            last[part] = process.pid
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
                return True
            return False

        last: dict[str, int] = {}
        while killed.total() < kills:
            part = chosen.choice(("consumer", "ksqldb", "broker", "postgres"))
            eventually(partial(killed_anew, part), bool, 60, f"{part} runs again")
            killed[part] += 1
            time.sleep(chosen.random())

    found = play(stack, recording, kill, slower=max(1.0, kills * KILL_S / (recording.count / TPS)))
    print(dict(killed))
    same(found, undisturbed)


@pytest.mark.parametrize("recording", SOAK_ONLY, indirect=True)
def test_random_bytes_on_every_port(stack: StackRun, recording: Recording, undisturbed: Snapshot) -> None:
    """From four clients a port, alone and behind the beginnings that each server expects; whoever works is not disturbed."""
    chosen = random.Random(7)
    beginnings = (
        b"",
        b"\x00\x00\x00\x20\x00\x03\x00\x0c",
        b"\x00\x00\x01\x00\x00\x00\x00\x09",
        b"\x7f\xff\xff\xff",
        b"POST /ksql HTTP/1.1\r\nHost: x\r\nContent-Length: 300\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
        b"\x00\x00\x00\x40\x00\x03\x00\x00user\x00streamguard\x00",
        b"\x16\x03\x01\x02\x00\x01",
    )

    def noise(port: int, until: float) -> None:
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as client:
                client.sendall(chosen.choice(beginnings) + chosen.randbytes(chosen.choice((1, 30, 300, 70_000))))
                if chosen.random() < 0.5:
                    client.settimeout(0.2)
                    client.recv(1_000)

    def disturb(run: StackRun) -> None:
        ports = (run.settings.kafka_port, run.settings.ksqldb_port, run.settings.postgres_port)
        until = time.monotonic() + NOISE_S
        threads = [threading.Thread(target=noise, args=(port, until)) for port in ports for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    same(play(stack, recording, disturb, slower=1.2 * NOISE_S / (recording.count / TPS)), undisturbed)


@pytest.mark.soak
def test_the_clock_set_back_an_hour(
    tmp_path: Path, recording: Recording, undisturbed: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
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
        same(play(stack, recording, set_back), undisturbed)
    finally:
        stack.run("./stop.sh", "--wipe", check=False)


@pytest.mark.soak
def test_poison_in_each_topic(stack: StackRun, recording: Recording, undisturbed: Snapshot) -> None:
    poison = [b"{", b"", None, b"[]", b'{"transaction_id": 7}', b"\xff\xfe", b'{"a": "' + b"x" * 2_000_000 + b'"}']
    topics = ("transactions", "fraud_alerts", "dead_letters")

    def spoil(run: StackRun) -> None:
        producer = KafkaProducer(bootstrap_servers=run.settings.kafka_bootstrap_servers, max_request_size=9_000_000)
        for topic in topics:
            for value in poison:
                producer.send(topic, key=b"BR-0000001", value=value)
        producer.flush(timeout=30)
        producer.close(timeout=20)

    found = play(stack, recording, spoil)
    counts = stack.query("SELECT source_topic, count(*) FROM dead_letters GROUP BY 1 ORDER BY 1")
    assert counts == [("fraud_alerts", len(poison)), ("transactions", len(poison))]
    # Poison takes offsets in the log: everything but the offsets must be alike.
    whole = ("transaction_records", "fraud_alerts", "alert_transactions", "alert_versions", "decisions")
    for name, part in {"transactions": slice(0, -1), **dict.fromkeys(whole, slice(None))}.items():
        assert [row[part] for row in found[name]] == [row[part] for row in undisturbed[name]], name


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", DISK_MB) as mounted:
        yield mounted.folder


@pytest.mark.soak
def test_a_full_disk(disk: Path, recording: Recording, undisturbed: Snapshot) -> None:
    """Log, engine and database run out of space together; once there is some again, all goes on by itself."""
    stack = StackRun(disk / "state")
    ballast = disk / "ballast"
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
        same(play(stack, recording, fill), undisturbed)
        assert full.is_set()
    finally:
        stack.run("./stop.sh", "--wipe", check=False)


def test_the_undisturbed_run_is_whole(recording: Recording, undisturbed: Snapshot) -> None:
    assert len(undisturbed["transactions"]) == len(undisturbed["transaction_records"]) == recording.count
    assert undisturbed["fraud_alerts"] and undisturbed["alert_transactions"]
    assert all(row[3] is not None for row in undisturbed["decisions"])
