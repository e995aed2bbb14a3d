"""The commands as a person types them: what they print, what they exit with, how they end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from streamguard.cli.evaluate import app as evaluate_app
from streamguard.cli.generate import app, simulate_app
from streamguard.config import get_settings
from streamguard.ingest.whole import read_records
from tests.support.broker import BrokerProcess, free_port
from tests.support.processes import eventually
from tests.support.topics import read_topic, stored_count

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "generate_transactions.py"


def generate(
    arguments: Sequence[object], address: str = "", stdin: str | None = None, cwd: Path = ROOT
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": address or f"127.0.0.1:{free_port()}"}
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        input=stdin if stdin is not None else "",
        env=environment,
        cwd=cwd,
        timeout=60,
        check=False,
    )


def begun(arguments: Sequence[str], address: str) -> subprocess.Popen[str]:
    """The script in a process of its own, under way."""
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), *arguments],
        env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": address},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def here(*arguments: object, address: str | None = None, stdin: str = "") -> Result:
    """The command in this process: its output and exit code, without the cost of a Python of its own."""
    environment = {"KAFKA_BOOTSTRAP_SERVERS": address or f"127.0.0.1:{free_port()}"}
    get_settings.cache_clear()
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, env=environment)


def test_two_seeded_files_are_the_same_and_summed_up(tmp_path: Path) -> None:
    outcomes = [
        generate(["batch", "--count", 2000, "--seed", 7, "--to-file", tmp_path / name])
        for name in ("a.jsonl", "b.jsonl")
    ]
    assert [outcome.returncode for outcome in outcomes] == [0, 0]
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    lines = outcomes[0].stdout.splitlines()
    assert re.match(r"sent 2,000 records, all written, in [\d.]+ s \([\d,]+/s\)$", lines[0])
    assert lines[1].startswith("event time 2026-01-05 12:00:0")
    assert sum(int(line.split()[1].replace(",", "")) for line in lines[2:]) == 2000
    assert outcomes[0].stderr == ""


def test_a_stream_holds_its_rate(tmp_path: Path) -> None:
    started_s = time.time()
    outcome = here("stream", "--tps", 400, "--duration", 2, "--to-file", tmp_path / "s.jsonl")
    assert outcome.exit_code == 0, outcome.stderr
    rate = float(re.search(r"rate ([\d.,]+)/s of 400.0/s asked: held", outcome.stdout).group(1))  # type: ignore[union-attr]
    assert 380 <= rate <= 420
    records = list(read_records(tmp_path / "s.jsonl"))
    assert len(records) == 800
    assert started_s * 1000 <= records[0].event_time <= records[-1].event_time <= time.time() * 1000


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["batch", "--count", -5], "--count is -5: a number above 0 is needed"),
        (["batch", "--profile", "fr"], "unknown profile 'fr': choose br, generic-card, ke-mpesa, psp"),
        (["batch", "--mix", "high_amount"], "--mix 'high_amount': write KIND=NUMBER, KIND being one of high_amount"),
        (["batch", "--mix", "phishing=0.1"], "unknown kind 'phishing': choose high_amount"),
        (["batch", "--bad", "late"], "--bad 'late': write KIND=NUMBER, KIND being one of malformed, late"),
        (["batch", "--bad", "late=-0.1"], "the rate of late is -0.1: it must lie between 0 and 1"),
        (["batch", "--bad", "late=2"], "the rate of late is 2.0: it must lie between 0 and 1"),
        (["batch", "--start", "noon"], "--start: 'noon' is no date and time such as 2026-01-05T12:00:00Z, nor now"),
        (
            ["batch", "--start", "2026-01-05", "--end", "2026-01-04"],
            "end, 2026-01-04 00:00:00 UTC, does not lie after the",
        ),
        (["batch", "--chargebacks", "--to-file", "x.csv"], "x.csv has no columns for chargebacks: write .jsonl"),
        (["batch", "--to-file", "/dev/null/x.csv"], "cannot write /dev/null/x.csv: Not a directory"),
        (["stream", "--tps", -3], "--tps is -3: a number above 0 is needed"),
        (["stream", "--tps", "nan"], "--tps is nan: a number above 0 is needed"),
        (["stream", "--duration", 0], "--duration is 0: a number above 0 is needed"),
        (["velocity", "--account", " "], "--account is ' ': name one"),
        (["batch", "--count", 10**400], "it must lie between 1 and 1,000,000,000,000"),
        (["batch", "--count", 10**12], "so many payments at 0.17 a second reach back beyond 1973-03-03 09:46:40 UTC"),
        (["batch", "--customers", -1], "--customers is -1: at least 1 is needed"),
        (["batch", "--customers", 10**13], "--customers is 10000000000000: at most 1,000,000,000,000 can be had"),
        (["batch", "--fraud-share", "nan"], "the fraud share is nan: it must lie between 0 and 1"),
        (["batch", "--mix", ""], "--mix '': write KIND=NUMBER"),
        (["batch", "--mix", "high_amount=nan"], "the share of high_amount is nan: it must lie between 0 and 1"),
        (["batch", "--bad", "late=1e400"], "the rate of late is inf: it must lie between 0 and 1"),
        (["batch", "--begin-with", ""], "unknown kind '': choose high_amount"),
        (
            ["batch", "--start", "0001-01-01"],
            "--start is '0001-01-01': a time between 1973-03-03 09:46:40 UTC and 9999",
        ),
        (["batch", "--start", "9999-12-31", "--duration", "1e9"], "--duration is 1e+09: from 9999-12-31 00:00:00 UTC"),
        (["batch", "--duration", "1e12"], "--duration is 1e+12: at most 253,402,300,800 seconds fit"),
        (["batch", "--wait", "nan"], "--wait is nan: 0 or a number above is needed"),
        (["batch", "--compression", "rar"], "unknown compression 'rar': choose none, lz4, gzip, snappy, zstd"),
        (["batch", "--bad", "malformed=0.1", "--to-file", "x.csv"], "x.csv has no columns for malformed values: write"),
        (["batch", "--to-file", "x.txt"], "x.txt is neither CSV nor JSON lines by its name"),
        (["batch", "--to-file", ""], ". is neither CSV nor JSON lines by its name"),
        (["batch", "--profile", "none.yaml"], "cannot read profile none.yaml: No such file or directory"),
        (["stream", "--tps", "1e-300"], "--tps is 1e-300: it must lie between 1e-06 and 1,000,000"),
        (["stream", "--time-scale", "1e400"], "--time-scale is inf: a number above 0 is needed"),
        (["report", "--start", "9999-12-01", "--days", 100], "the end lies beyond 9999-12-31 23:59:59 UTC"),
        (["replay", "none.csv"], "none.csv cannot be opened: No such file or directory"),
        (["replay", "README.md"], "README.md (CSV, separated by"),
        (["replay", "x.csv", "--speed", "fast"], "--speed is 'fast': a number above 0 (1 is real time), or max"),
        (["replay", "x.csv", "--currency", "XYZ"], "--currency is 'XYZ': an ISO 4217 code"),
        (["replay", "x.csv", "--limit", 0], "--limit is 0: a number above 0 is needed"),
        (["report", "--days", 4000], "--days is 4000: at most 400 fit on a page"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments: list[object], sentence: str) -> None:
    outcome = here(*arguments)
    assert outcome.exit_code == 2
    assert sentence in outcome.stderr
    assert outcome.stderr.count("\n") == 1
    assert outcome.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["batch", "--count", "abc"], "--count is 'abc': a whole number is needed"),
        (["batch", "--count", ""], "--count is '': a whole number is needed"),
        (["batch", "--count", "1e400"], "--count is '1e400': a whole number is needed"),
        (["batch", "--seed", "x"], "--seed is 'x': a whole number is needed"),
        (["batch", "--fraud-share", "some"], "--fraud-share is 'some': a number is needed"),
        (["batch", "--foo", "1"], "no such option '--foo': choose --count, --seed, --profile"),
        (["batch", "more"], "got unexpected extra argument"),
        (["batches"], "no such command 'batches': choose batch, stream, velocity, replay, preview, evaluate, report"),
        (["stream", "--tps", "fast"], "--tps is 'fast': a number is needed"),
        (["velocity", "--account", "A", "--count", "x"], "--count is 'x': a whole number is needed"),
        (["velocity"], "missing option '--account'"),
    ],
)
def test_wrong_arguments_are_one_sentence(arguments: list[object], sentence: str) -> None:
    outcome = generate(arguments)
    assert outcome.returncode == 2
    assert outcome.stderr.startswith(f"generate: {sentence}")
    assert outcome.stderr.count("\n") == 1


def test_what_is_refused_leaves_files_alone(tmp_path: Path) -> None:
    mine = tmp_path / "mine.csv"
    assert here("batch", "--count", 5, "--seed", 7, "--to-file", mine).exit_code == 0
    before = mine.read_bytes()
    for arguments in (
        ["batch", "--bad", "malformed=0.1", "--to-file", mine],
        ["batch", "--compression", "rar", "--to-file", mine],
        ["replay", mine, "--to-file", mine],
    ):
        outcome = here(*arguments)
        assert outcome.exit_code == 2, outcome.stdout
        assert outcome.stderr.count("\n") == 1
        assert mine.read_bytes() == before


def test_no_broker_is_one_sentence() -> None:
    outcome = generate(["batch", "--count", 5, "--wait", 0.2])
    assert outcome.returncode == 1
    assert "no broker answers at 127.0.0.1:" in outcome.stderr.splitlines()[-1]
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("sent_to", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["batch", "stream", "replay"])
def test_ctrl_c_while_the_broker_is_waited_for_is_one_sentence(
    command: str, sent_to: signal.Signals, tmp_path: Path
) -> None:
    here("batch", "--count", 5, "--to-file", tmp_path / "r.jsonl")
    arguments = [command, str(tmp_path / "r.jsonl")] if command == "replay" else [command]
    process = begun(arguments, f"127.0.0.1:{free_port()}")
    try:
        assert process.stderr is not None
        assert any("waiting for the broker" in line for line in process.stderr)
        process.send_signal(sent_to)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    last = errors.splitlines()[-1]
    assert (process.returncode, last) == (130, "generate: stopped before a broker answered: nothing was sent"), errors
    assert "Traceback" not in errors


def test_settings_that_make_no_sense_are_one_sentence() -> None:
    outcome = here("batch", "--count", 5, address="nonsense")
    assert outcome.exit_code == 2
    assert "KAFKA_BOOTSTRAP_SERVERS" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_the_menu_leaves_at_the_end_of_input_and_on_quit() -> None:
    assert generate([], stdin="5\n").stdout.rstrip().endswith("bye")
    for text in ("", "5\n", "4\n"):
        outcome = here(stdin=text)
        assert outcome.exit_code == 0, outcome.stderr
        assert outcome.stdout.rstrip().endswith("bye")
        assert "batch: a number of transactions at once" in outcome.stdout


def test_the_menu_says_what_is_wrong_and_comes_back() -> None:
    outcome = here(stdin="4\n/none.csv\n\nmax\n1\n-2\n\nbr\n\n\n1\n5\n\nbr\n\nphishing=0.1\n5\n")
    assert outcome.exit_code == 0
    assert "/none.csv cannot be opened" in outcome.stderr
    assert "--count is -2" in outcome.stderr
    assert "unknown kind 'phishing': choose high_amount" in outcome.stderr
    assert outcome.stdout.rstrip().endswith("bye")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f'"{sys.executable}" "{SCRIPT}" preview --count 20000 | head -1'
    outcome = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert outcome.stdout.count("\n") == 1
    assert outcome.stderr == ""


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "full.jsonl").symlink_to("/dev/full")
    for count in (10, 20_000):
        outcome = here("batch", "--count", count, "--to-file", tmp_path / "full.jsonl")
        assert outcome.exit_code == 1
        assert "full.jsonl any further: No space left on device" in outcome.stderr
        assert "Traceback" not in outcome.stderr
        assert "records, 0 written, in" in outcome.stdout


@pytest.mark.parametrize(("speed", "is_over"), [("max", True), ("100000", False)])
def test_a_recording_can_begin_or_end_now(tmp_path: Path, speed: str, is_over: bool) -> None:
    here("batch", "--count", 100, "--seed", 7, "--to-file", tmp_path / "in.csv")
    before_ms = time.time() * 1000
    arguments = ["replay", tmp_path / "in.csv", "--shift-to-now", "--speed", speed, "--to-file", tmp_path / "out.csv"]
    outcome = here(*arguments)
    assert outcome.exit_code == 0, outcome.stderr
    times = [record.event_time for record in read_records(tmp_path / "out.csv")]
    assert before_ms <= (times[-1] if is_over else times[0]) <= time.time() * 1000
    assert times[-1] - times[0] > 60_000


def test_a_preview_sends_nothing_and_shows_ten() -> None:
    outcome = here("preview", "--seed", 7)
    assert outcome.exit_code == 0
    lines = outcome.stdout.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("BR-")
    assert json.loads(lines[0].split("] ", 1)[1])["currency"] == "BRL"


def test_the_report_is_one_page_that_needs_nothing_else(tmp_path: Path) -> None:
    outcome = here("report", tmp_path / "r.html", "--days", 2, "--customers", 500)
    assert outcome.exit_code == 0, outcome.stderr
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    for heading in ("Volume by hour", "Amounts", "Places", "By kind"):
        assert f"<h2>{heading}" in page
    assert "http" not in page and "<script" not in page
    assert "São Paulo, BR" in page


def test_evaluate_and_simulate_are_commands_of_their_own(tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    outcome = CliRunner().invoke(simulate_app, ["report", str(page), "--days", "0.1", "--seed", "7"])
    assert outcome.exit_code == 0 and page.exists()
    assert CliRunner().invoke(simulate_app, ["preview", "--count", "1"]).exit_code == 0
    assert "Measure the rules against labels" in CliRunner().invoke(evaluate_app, ["--help"]).stdout


def test_a_python_without_the_packages_finds_the_projects_own(tmp_path: Path) -> None:
    script = tmp_path / "generate_transactions.py"
    shutil.copy(SCRIPT, script)
    bare = [sys.executable, "-I", "-S", str(script), "preview", "--count", "1"]
    alone = subprocess.run(bare, capture_output=True, text=True, timeout=60, check=False)
    assert alone.returncode == 1
    assert alone.stderr.startswith("No module named") and "type ./start.sh" in alone.stderr
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    handed_over = subprocess.run(bare, capture_output=True, text=True, timeout=60, check=False)
    assert handed_over.returncode == 0, handed_over.stderr
    assert handed_over.stdout.startswith("BR-")


@pytest.mark.integration
def test_batch_velocity_and_replay_reach_the_broker(broker: BrokerProcess, tmp_path: Path) -> None:
    assert (
        here(
            "batch", "--count", 300, "--seed", 7, "--fraud-share", 0.2, "--chargebacks", address=broker.address
        ).exit_code
        == 0
    )
    assert here("velocity", "--account", "ACC-1", "--count", 6, address=broker.address).exit_code == 0
    recording = tmp_path / "cards.csv"
    rows = [f"{n},2018-04-01T00:00:{n:02d}Z,{n},9,1.50,0,0" for n in range(60)]
    header = "transaction_id,timestamp,customer_id,terminal_id,amount,is_fraud,fraud_scenario"
    recording.write_text("\n".join([header, *rows]) + "\n")
    assert here("replay", recording, "--limit", 40, address=broker.address).exit_code == 0
    stored = read_topic(broker.address)
    assert len(stored) == 346
    assert [dict(item.headers)["label"] for item in stored if item.key == b"ACC-1"] == [b"velocity_burst"] * 6
    assert {item.key for item in stored} >= {str(n).encode() for n in range(40)}
    assert len(read_topic(broker.address, "fraud_labels")) > 0


@pytest.mark.integration
@pytest.mark.parametrize(("command", "exit_code"), [("stream", 0), ("replay", 130)])
def test_ctrl_c_flushes_says_what_was_sent_and_leaves(
    broker: BrokerProcess, tmp_path: Path, command: str, exit_code: int
) -> None:
    recording = tmp_path / "r.jsonl"
    here("batch", "--count", 500, "--to-file", recording)
    arguments = ["stream", "--tps", "200"] if command == "stream" else ["replay", str(recording), "--speed", "60"]
    process = begun(arguments, broker.address)
    try:
        eventually(lambda: stored_count(broker.address), lambda count: count > 0)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == exit_code, errors
    assert "stopped" in errors and "Traceback" not in errors
    sent = int(re.search(r"([\d,]+) (?:records|sent), all acknowledged", output).group(1).replace(",", ""))  # type: ignore[union-attr]
    assert sent > 0
    assert len(read_topic(broker.address)) == sent


@pytest.mark.integration
def test_a_broker_that_goes_away_under_a_batch_is_waited_for_and_the_summary_is_exact(broker: BrokerProcess) -> None:
    process = begun(["batch", "--count", "60000", "--seed", "7"], broker.address)
    try:
        eventually(lambda: stored_count(broker.address), lambda count: count > 0)
        broker.kill()
        assert process.poll() is None, "the batch was over before the broker was killed"
        # The producer speaks up after three seconds of silence.
        time.sleep(3.5)
        broker.start()
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert output.startswith("sent 60,000 records, all acknowledged, in ")
    assert "does not answer" in errors and "the broker is back after " in errors
    assert "Traceback" not in errors
    stored = read_topic(broker.address)
    assert len(stored) == len({item.value for item in stored}) == 60_000


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--json", "/"], "cannot write /: it is a folder"),
        (["--test-start", "2018-07-25"], "--test-start, --from and --to need --data"),
        (["--data", ".", "--topic"], "--data, --topic and --simulated exclude each other"),
        (["--page", "x.md"], "--page needs --simulated"),
        (["--data", ".", "--from", "May"], "--from is 'May': a day such as 2018-07-25 is needed"),
        (["--data", ".", "--test-start", "soon"], "--test-start is 'soon': a day such as 2018-07-25 is needed"),
    ],
)
def test_options_of_evaluate_that_do_not_fit_are_one_sentence(arguments: list[str], sentence: str) -> None:
    outcome = generate(["evaluate", *arguments])
    assert outcome.returncode == 2
    assert outcome.stderr.startswith(f"generate: {sentence}")
    assert outcome.stderr.count("\n") == 1
