"""Commands at times: which times, what is tried again, what is made good, what is kept of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from typer.testing import CliRunner

from streamguard.cli.schedule import app
from streamguard.config import Settings, load_settings
from streamguard.database import apply_schema, make_engine
from streamguard.metrics.schedule import ScheduleMetrics
from streamguard.schedules.execute import execute
from streamguard.schedules.plan import Entry, ScheduleError, parse_plan, read_plan
from streamguard.schedules.runner import Runner
from streamguard.stack.parts import application_parts
from tests.support.postgres import EmbeddedPostgres
from tests.support.processes import eventually

FILE = Path("schedule.yaml")
SATURDAY = datetime(2026, 1, 3, 12, tzinfo=timezone.utc)


def entry(command: str = "rules --help", **more: object) -> Entry:
    """An entry that is valid but for what is given."""
    return Entry.model_validate({"command": command, "every": "1d", "retry_after_s": 0, **more})


@pytest.mark.parametrize(
    ("at", "day", "hour"),
    [
        ("0 2 * * *", 4, 2),
        ("30 14 * * *", 3, 14),
        ("0 2 * * 1", 5, 2),  # cron counts from Sunday
        ("0 2 * * 0", 4, 2),
        ("0 2 * * 7", 4, 2),
        ("0 2 * * 1-5", 5, 2),
        ("0 2 * * sun", 4, 2),
        ("0 */6 * * *", 3, 18),
        ("0 0 1 * *", 32, 0),
    ],
)
def test_times_are_those_of_cron(at: str, day: int, hour: int) -> None:
    due = entry(at=at, every=None).next_after(SATURDAY)
    assert due is not None
    assert (due - datetime(2025, 12, 31, tzinfo=timezone.utc)).days == day and due.hour == hour


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "a: {command: analise, every: 1d}",
            "streamguard analise cannot be scheduled; the nearest command that can is analyse",
        ),
        ("a: {command: up, every: 1d}", "streamguard up cannot be scheduled"),
        ("a: {command: quality}", "one of `at` and `every` is needed"),
        ("a: {command: quality, every: 1d, at: '0 2 * * *'}", "one of `at` and `every` is needed"),
        ("a: {command: quality, every: often}", "a.every: a span such as 30m, 6h or 1d is expected, not 'often'"),
        ("a: {command: quality, at: '2 o clock'}", "a.at: five fields are expected"),
        ("a: {command: quality, every: 1d, retires: 3}", "a.retires"),
        ("A b: {command: quality, every: 1d}", "a job's name has small letters"),
        ("a: [", "schedule.yaml is no YAML"),
        ('a: {command: "quality \'", every: 1d}', "has no end"),
    ],
)
def test_a_schedule_that_cannot_be_used_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(ScheduleError) as error:
        parse_plan(text, FILE)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_time_that_there_is_not_is_one_sentence() -> None:
    with pytest.raises(ScheduleError, match="at '61 2"):
        entry(at="61 2 * * *", every=None).trigger()


@pytest.fixture
def settings(postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[Settings]:
    found = load_settings(database_url=postgres.url(), state_dir=tmp_path, metrics_port="off")
    engine = make_engine(found)
    apply_schema(engine)
    engine.dispose()
    yield found


def test_what_fails_is_tried_again_and_its_output_is_kept(settings: Settings) -> None:
    done = execute(settings, "good", entry(), threading.Event())
    assert (done.status, done.attempts, done.exit_code) == ("done", 1, 0) and "Usage" in done.output
    failed = execute(settings, "bad", entry("evaluate no-such-file.csv", retries=1), threading.Event())
    assert (failed.status, failed.attempts) == ("failed", 2) and failed.exit_code
    assert "no-such-file.csv" in failed.output


def test_what_takes_too_long_is_ended(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamguard.schedules.execute._ENDS_WITHIN_S", 0.5)
    os.mkfifo(tmp_path / "never.csv")
    slow = entry(f"import {tmp_path / 'never.csv'}", retries=0, timeout_s=0.5)
    found = execute(settings, "slow", slow, threading.Event())
    assert (found.status, found.exit_code) == ("failed", None)
    assert "stopped after its time limit of 0.5 s" in found.output


@dataclass
class Running:
    """A runner in a thread of this process."""

    settings: Settings
    metrics: ScheduleMetrics = field(default_factory=ScheduleMetrics)
    stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Running:
        self.engine = make_engine(self.settings)
        self.thread = threading.Thread(target=Runner(self.settings, self.engine, self.stop, self.metrics).run)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()
        self.engine.dispose()


def test_missed_times_are_made_good_once_or_skipped(settings: Settings, postgres: EmbeddedPostgres) -> None:
    """Also one whose run ended with the process; a job that is new waits for its time."""
    (settings.state_path / "schedule.yaml").write_text(
        "".join(
            f"{name}: {{command: rules --help, at: '0 2 * * *', missed: {missed}}}\n"
            for name, missed in (("good", "run"), ("skipped", "skip"), ("new", "run"), ("cut", "run"))
        )
    )
    now = datetime.now(timezone.utc)
    for name, days, status in (
        ("good", 3, "done"),
        ("skipped", 3, "failed"),
        ("cut", 3, "done"),
        ("cut", 2, "running"),
    ):
        postgres.query(
            "INSERT INTO schedule_runs (run_id, job, command, due_at, attempts, status) VALUES (%s, %s, 'x', %s, 1, %s)"
            " RETURNING 1",
            *(str(uuid4()), name, now - timedelta(days=days), status),
        )
    with Running(settings) as running:
        statuses = "SELECT job, status FROM schedule_runs WHERE due_at > now() - INTERVAL '1 day' ORDER BY job, due_at"
        wanted = [("cut", "done"), ("good", "done"), ("new", "added"), ("skipped", "missed")]
        eventually(lambda: postgres.query(statuses), lambda found: found == wanted)
        assert postgres.query("SELECT count(*) FROM schedule_runs WHERE status = 'interrupted'") == [(1,)]
        registry = CollectorRegistry()
        registry.register(running.metrics)
        shown = generate_latest(registry).decode()
    assert 'streamguard_schedule_last_run_failed{scheduled="good"} 0.0' in shown
    assert 'streamguard_schedule_last_run_failed{scheduled="skipped"} 1.0' in shown


def commands_with(word: str) -> int:
    """How many processes have a word among their arguments."""
    count = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            count += word in process.cmdline()
    return count


@pytest.mark.soak
def test_the_process_runs_jobs_follows_the_file_and_survives_a_kill(
    settings: Settings, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "never.csv")
    file = tmp_path / "schedule.yaml"
    file.write_text("often: {command: rules --help, every: 1s}\n")
    environment = {**os.environ, **settings.environment, "STREAMGUARD_METRICS_PORT": "off"}

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "streamguard.cli", "schedule", "run"]
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)

    count = "SELECT count(*) FROM schedule_runs WHERE job = %s AND status = %s"
    first = start()
    try:
        eventually(lambda: postgres.query(count, "often", "done"), lambda found: found[0][0] >= 2)
        second = start()
        _, said = second.communicate(timeout=60)
        assert second.returncode == 1 and b"another process runs the schedule" in said
        file.write_text(f"slow: {{command: import {tmp_path / 'never.csv'}, every: 1s, retries: 0}}\n")
        eventually(lambda: postgres.query(count, "slow", "running"), lambda found: found == [(1,)])
        eventually(lambda: postgres.query(count, "slow", "skipped"), lambda found: found[0][0] >= 1)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        first = start()
        eventually(lambda: postgres.query(count, "slow", "interrupted"), lambda found: found == [(1,)])
        eventually(lambda: postgres.query(count, "slow", "running"), lambda found: found == [(1,)])
        # The one of before was ended.
        eventually(lambda: commands_with(str(tmp_path / "never.csv")), lambda found: found == 1)
    finally:
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=60)
    assert first.returncode == 0
    assert postgres.query(count, "slow", "running") == [(0,)]


def test_commands_add_list_and_remove(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("STREAMGUARD_STATE_DIR", str(settings.state_path))

    def call(*words: str) -> str:
        done = CliRunner().invoke(app, list(words))
        if done.exception is not None:
            raise done.exception
        return done.output

    assert "nothing is scheduled" in call("list")
    assert [part.name for part in application_parts(settings, desk=False, generator=False)] == ["consumer"]
    said = call("add", "nightly", "analyse --since 90d", "--at", "0 2 * * *", "--retries", "5")
    assert said.startswith("nightly runs at 0 2 * * * UTC, next at ")
    call("add", "copies", "backup 'a file.tar'", "--every", "6h")
    plan = read_plan(settings.state_path / "schedule.yaml")
    assert plan["nightly"].words == ["analyse", "--since", "90d"] and plan["nightly"].retries == 5
    assert plan["copies"].words == ["backup", "a file.tar"]
    listed = call("list")
    assert "nightly" in listed and "has not run" in listed
    assert [part.name for part in application_parts(settings, desk=False, generator=False)] == ["consumer", "schedule"]
    with pytest.raises(ScheduleError, match="nightly is scheduled already"):
        call("add", "nightly", "quality", "--every", "1d")
    call("remove", "copies")
    with pytest.raises(ScheduleError, match="copies is not scheduled; these are: nightly"):
        call("remove", "copies")
    assert call("history") == "nothing has run yet\n"
