"""`streamguard backup` while everything runs under load, and `restore` elsewhere: nothing is lost, nothing is doubled."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamguard.stack.supervisor import Supervisor
from tests.integration.stackrun import ALERTS, BIN, PAYMENTS, StackRun, expected_alerts
from tests.support.processes import eventually
from tests.support.project import PROJECT_ROOT
from tests.support.topics import read_topic

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackRun]:
    run = StackRun(tmp_path_factory.mktemp("backup") / "state")
    run.start_core()
    yield run
    run.stop("--keep")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[StackRun]:
    """An empty place with ports of its own."""
    run = StackRun(tmp_path / "elsewhere")
    yield run
    run.run("./stop.sh", "--keep", check=False)


def records(stack: StackRun, topic: str) -> dict[tuple[int, int], Any]:
    """What the topic has at each partition and offset: key, value, time, headers."""
    found = read_topic(stack.settings.kafka_bootstrap_servers, topic)
    return {(r.partition, r.offset): (r.key, r.value, r.timestamp, r.headers) for r in found}


def decisions_sent(stack: StackRun) -> list[tuple[Any, ...]]:
    found = map(orjson.loads, (value for _, value, *_ in records(stack, "decisions").values()))
    return sorted((d["alert_id"], d["tx_count"], d["decided_by"], d["outcome"]) for d in found)


def check_books(stack: StackRun) -> None:
    """Records in = stored + dead letters; alerts and decisions as a plain reading of both rules gives them, each once."""
    stored, dead, read = stack.query(
        "SELECT (SELECT count(*) FROM transactions), (SELECT count(*) FROM dead_letters WHERE source_topic = 'transactions'),"
        " (SELECT sum(records_read) FROM consumer_offsets WHERE topic = 'transactions')"
    )[0]
    assert len(records(stack, "transactions")) == stored + dead == read
    wanted = expected_alerts(stack.query(PAYMENTS), above=3_000, window_ms=60_000, more_than=3)
    assert {alert_id: (count, amount) for alert_id, count, amount in stack.query(ALERTS)} == wanted

    def sent_as_stored() -> bool:
        decided = stack.query("SELECT alert_id, tx_count, decided_by, outcome FROM decisions")
        return decisions_sent(stack) == sorted(decided)

    eventually(sent_as_stored, bool, 30, "each decision in its topic once")


def under_load(stack: StackRun, path: Path, at_least: int) -> None:
    """Back up while 500 transactions a second arrive."""
    load = stack.begin(
        BIN / "python", "generate_transactions.py", "stream", "--tps", "500", "--begin-with", "high_amount"
    )
    try:
        stack.wait_count("transactions", at_least)
        stack.streamguard("backup", path)
        backed_up = stack.query("SELECT count(*) FROM transactions")[0][0]
        stack.wait_count("transactions", backed_up + 500)
    finally:
        load.send_signal(signal.SIGINT)
        load.wait(30)


def restored_goes_on(stack: StackRun, elsewhere: StackRun, path: Path, more: int) -> None:
    """Restore, start, feed `more`: what was there is there at its old offsets, and the books add up."""
    elsewhere.streamguard("restore", path)
    before = {topic: records(stack, topic) for topic in ("transactions", "decisions")}
    assert "6 unchanged" in elsewhere.start_core()
    for topic, known in before.items():
        for place, record in records(elsewhere, topic).items():
            # What the restored stack decides on its own has its own time and id.
            assert topic == "decisions" or known[place] == record
    at_backup = len(records(elsewhere, "transactions"))
    assert 0 < at_backup < len(before["transactions"])
    elsewhere.generate("stream", "--tps", "1000", "--duration", str(more / 1000), "--seed", "7")
    sent = len(records(elsewhere, "transactions")) - at_backup
    assert sent >= 0.9 * more
    elsewhere.wait_count("transactions", at_backup + sent)
    elsewhere.wait_settled()
    check_books(elsewhere)


def test_a_backup_under_load_restored_elsewhere_goes_on(stack: StackRun, elsewhere: StackRun, tmp_path: Path) -> None:
    path = tmp_path / "small.backup"
    under_load(stack, path, 500)
    assert path.stat().st_mode & 0o777 == 0o600
    restored_goes_on(stack, elsewhere, path, 500)


@pytest.mark.soak
def test_a_larger_backup_under_load_restored_elsewhere_goes_on(
    stack: StackRun, elsewhere: StackRun, tmp_path: Path
) -> None:
    path = tmp_path / "large.backup"
    under_load(stack, path, stack.query("SELECT count(*) FROM transactions")[0][0] + 20_000)
    restored_goes_on(stack, elsewhere, path, 5_000)


@pytest.mark.soak
def test_a_damaged_file_and_a_restore_cut_off_leave_nothing_that_starts(
    stack: StackRun, elsewhere: StackRun, tmp_path: Path
) -> None:
    stack.generate("stream", "--tps", "1000", "--duration", "3")
    stack.wait_settled()
    path = tmp_path / "whole.backup"
    stack.streamguard("backup", path)
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-9], whole[:5000] + b"\0\0\0\0" + whole[5004:], b"PK", b""):
        path.with_suffix(".bad").write_bytes(damaged)
        refused = elsewhere.streamguard("restore", path.with_suffix(".bad"), check=False)
        assert refused.returncode == 1 and len(refused.stderr.splitlines()) == 1, refused.stderr
        assert "is no whole backup" in refused.stderr
        assert not {"postgres", "broker", "restore.new"} & set(os.listdir(elsewhere.state)) if damaged else True
    for number in (signal.SIGINT, signal.SIGKILL):
        cut = elsewhere.begin(BIN / "streamguard", "restore", path)
        eventually((elsewhere.state / "restore.new" / "broker" / "topics.json").exists, bool, 60, "a restore at work")
        cut.send_signal(number)
        cut.wait(60)
        assert not (elsewhere.state / "broker").exists()
        assert (elsewhere.state / "restore.new").exists() == (number == signal.SIGKILL)
    refused = elsewhere.run("./start.sh", check=False)
    assert refused.returncode == 1 and "a restore into" in refused.stderr
    elsewhere.streamguard("restore", path)
    elsewhere.start_core()
    elsewhere.wait_settled()
    assert elsewhere.snapshot() == stack.snapshot()


def test_a_backup_that_is_killed_or_has_no_room_leaves_no_file_and_a_running_broker(
    stack: StackRun, tmp_path: Path
) -> None:
    small = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000));"
    code = f"{small} sys.argv = ['streamguard', 'backup', sys.argv[1]]; from streamguard.cli import main; main()"
    full = stack.run(BIN / "python", "-c", code, tmp_path / "full.backup", check=False)
    assert full.returncode == 1 and "cannot be written: File too large" in full.stderr, full.stderr
    assert len(full.stderr.splitlines()) == 1 and not list(tmp_path.iterdir())
    broker = Supervisor(stack.settings).processes()["broker"].pid
    command = [str(BIN / "python"), "-c", _KILLED_WHILE_STOPPED, str(stack.state / "broker"), str(broker)]
    killed = subprocess.run(command, cwd=PROJECT_ROOT, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert records(stack, "_confluent-ksql-streamguard__command_topic")


@pytest.mark.soak
def test_a_place_with_data_is_not_restored_into(stack: StackRun, tmp_path: Path) -> None:
    path = tmp_path / "any.backup"
    stack.streamguard("backup", path)
    again = stack.streamguard("backup", path, check=False)
    assert again.returncode == 1 and "is there already" in again.stderr
    refused = stack.streamguard("restore", path, check=False)
    assert refused.returncode == 1 and "the stack runs on" in refused.stderr
    stack.stop("--keep")
    refused = stack.streamguard("restore", path, check=False)
    assert refused.returncode == 1 and "has data (postgres, broker, ksqldb)" in refused.stderr


_KILLED_WHILE_STOPPED = """
import os, signal, sys
from pathlib import Path
from streamguard.stack.backup import frozen
frozen.BrokerFiles._take = lambda self, folder: os.kill(os.getpid(), signal.SIGKILL)
frozen.BrokerFiles(Path(sys.argv[1]), int(sys.argv[2]))
"""
