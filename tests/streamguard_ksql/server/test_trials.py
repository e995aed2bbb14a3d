"""A process that stands still ends; a query that ended the process twice in a row is shown as failed, not started."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streamguard_ksql.runtime.trials import LAST_CRASH, RECOVERED_LOOKS, Trials
from tests.streamguard_ksql.server.test_limits import SOURCE, queries, reason
from tests.support.ksqldb import EARLIEST, KsqlServerProcess, eventually, running_server

ENDLESS = "REDUCE(GENERATE_SERIES(1, 1000000), 0, (s, i) => REDUCE(GENERATE_SERIES(1, 1000000), s, (t, j) => t + j))"


def suspects(server: KsqlServerProcess) -> list[str]:
    return list(json.loads((server.folder / "ksql" / "trials.json").read_bytes())["suspects"])


@pytest.mark.integration
def test_a_query_that_ended_the_server_twice_is_not_started_a_third_time(tmp_path: Path) -> None:
    with running_server(tmp_path, "--set", "ksql.query.batch.cpu.limit.ms=8000") as server:
        server.ksql(SOURCE.format(name="given"))
        sql = f"CREATE STREAM endless AS SELECT id, {ENDLESS} AS n FROM given;"
        query_id = server.ksql(sql, streamsProperties=EARLIEST)[0]["commandStatus"]["queryId"]
        server.ksql("CREATE STREAM other AS SELECT id, UCASE(text) AS t FROM given;", streamsProperties=EARLIEST)
        server.ksql("INSERT INTO given VALUES ('a', 'x');")
        for _ in range(2):
            eventually(lambda: suspects(server) == [query_id], 60)
            server.kill()
            server.start()
        assert {states.popitem() for states in queries(server).values()} == {("ERROR", 1), ("RUNNING", 1)}
        why = reason(server, query_id)
        assert "The server ended 2 times in a row while it processed this query" in why and "TERMINATE" in why
        server.stop()
        server.start()
        assert queries(server)[query_id] == {"ERROR": 1}, "a stop in order changes nothing"
        server.ksql(f"RESUME {query_id};")
        assert queries(server)[query_id] == {"RUNNING": 1}
        eventually(lambda: suspects(server) == [query_id], 60)
        server.ksql(f"TERMINATE {query_id};")
        assert list(queries(server).values()) == [{"RUNNING": 1}]


FROZEN = """
import re, sys, threading
from pathlib import Path
from streamguard_ksql.server import freeze

freeze.watch(Path(sys.argv[1]), cpu_s=2.0)

def feed():
    print(threading.get_ident(), flush=True)
    re.fullmatch("(a|aa)+", "a" * 100 + "b")

threading.Thread(target=feed).start()
"""


def test_a_process_that_stands_still_ends_and_says_where(tmp_path: Path) -> None:
    """The standard library's expressions keep the interpreter for themselves: no other thread of the process runs."""
    (tmp_path / "topology.py").write_text(FROZEN)
    command = [sys.executable, str(tmp_path / "topology.py"), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == -signal.SIGPROF
    thread = ended.stdout.strip()
    (tmp_path / "crash.txt").rename(tmp_path / LAST_CRASH)
    (tmp_path / "trials.json").write_text(json.dumps({"threads": {thread: "Q", "1": "OTHER"}, "deaths": {"Q": 1}}))
    trials = Trials(tmp_path)
    assert trials.refusal("Q") and trials.refusal("OTHER") is None


def test_the_thread_that_crashed_is_the_reason(tmp_path: Path) -> None:
    crash = (
        "Fatal Python error: Segmentation fault\n\nThread 0x00000011 (most recent call first):\n"
        '  File "topology.py", line 60 in feed\n\nCurrent thread 0x00000012 (most recent call first):\n'
        '  File "topology.py", line 60 in feed\n'
    )
    for _ in range(2):
        (tmp_path / LAST_CRASH).write_text(crash)
        trials = Trials(tmp_path)
        trials.note({}, {str(0x11): "OTHER", str(0x12): "Q"})
    (tmp_path / LAST_CRASH).write_text(crash)
    trials = Trials(tmp_path)
    assert "while it processed this query (it was being processed when the process crashed)" in str(trials.refusal("Q"))
    assert trials.refusal("OTHER") is None


@pytest.mark.parametrize("between", ["a run without it", "a stop in order", "a minute"])
def test_a_query_that_did_not_end_the_server_starts_its_count_again(tmp_path: Path, between: str) -> None:
    def run_that_it_ends(trials: Trials) -> None:
        trials.note({"Q": "much CPU"}, {})

    run_that_it_ends(Trials(tmp_path))
    trials = Trials(tmp_path)
    if between == "a stop in order":
        trials.close()
        trials = Trials(tmp_path)
    elif between == "a minute":
        for _ in range(RECOVERED_LOOKS):
            trials.note({}, {})
    else:
        trials = Trials(tmp_path)
    run_that_it_ends(trials)
    trials = Trials(tmp_path)
    assert trials.refusal("Q") is None
    run_that_it_ends(trials)
    assert Trials(tmp_path).refusal("Q")


def test_a_damaged_file_is_no_reason_not_to_start(tmp_path: Path) -> None:
    (tmp_path / "trials.json").write_text("{")
    assert Trials(tmp_path).refusal("Q") is None
