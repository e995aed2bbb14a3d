"""`streamguard status` says what stands still, and exits 1; one call, on real parts that are frozen, stopped or emptied."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from streamguard.config.resources import DATA, SQL_FOLDER
from streamguard.sqldeploy.state import Server
from streamguard.stack.doctor import examine
from streamguard.stack.health import findings
from streamguard.stack.supervisor import Supervisor
from tests.integration.stackrun import BIN, StackRun
from tests.support.processes import eventually
from tests.support.project import PROJECT_ROOT
from tests.support.topics import stored_count

pytestmark = pytest.mark.integration

BATCH = ("batch", "--count", "300", "--seed", "3")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackRun]:
    """The stack, whose status waits for a second instead of thirty."""
    run = StackRun(tmp_path_factory.mktemp("status") / "state", {"STREAMGUARD_STATUS_LIMIT_S": "1"})
    run.start_core()
    yield run
    run.stop("--wipe")


def status(stack: StackRun) -> tuple[int, str]:
    done = stack.streamguard("status", check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def looked(stack: StackRun) -> tuple[int, str]:
    """What `status` would say of the checks, asked in this process: a command takes a second of the machine to start."""
    found = list(findings(stack.settings))
    said = [f"{'PROBLEM' if finding.serious else 'note'}: {finding.sentence}" for finding in found]
    return int(any(finding.serious for finding in found)), "\n".join(said)


def wait_for(stack: StackRun, code: int, *patterns: str) -> str:
    """What the checks say, once they say all of this, with a problem or without one."""

    def right(seen: tuple[int, str]) -> bool:
        return seen[0] == code and all(re.search(pattern, seen[1]) for pattern in patterns)

    return eventually(lambda: looked(stack), right, 90)[1]


@contextmanager
def disturbed(stack: StackRun, *, by: Callable[[], object], undone_by: Callable[[], object]) -> Iterator[None]:
    """A healthy stack before and after; disturbed within."""
    wait_for(stack, 0)
    by()
    try:
        yield
    finally:
        undone_by()
    wait_for(stack, 0)


def signalled(stack: StackRun, name: str, number: int) -> Callable[[], None]:
    pid = Supervisor(stack.settings).processes()[name].pid
    return lambda: os.kill(pid, number)


@pytest.mark.parametrize(
    ("name", "patterns"),
    [
        ("consumer", (r"PROBLEM: consumer is stopped: ",)),
        pytest.param(
            "ksqldb",
            (
                r"PROBLEM: ksqldb is stopped: ",
                r"PROBLEM: the SQL engine is unavailable: .*KSQLDB_URL.*: nothing listens there",
            ),
            marks=pytest.mark.soak,
        ),
        (
            "postgres",
            (r"PROBLEM: postgres is stopped: ", r"PROBLEM: the database \(DATABASE_URL\) is unavailable: .*refused"),
        ),
        pytest.param(
            "broker",
            (r"PROBLEM: broker is stopped: ", r"PROBLEM: Kafka at .* is unavailable: "),
            marks=pytest.mark.soak,
        ),
    ],
)
def test_a_part_that_is_stopped(stack: StackRun, name: str, patterns: tuple[str, ...]) -> None:
    supervisor = Supervisor(stack.settings)
    with disturbed(stack, by=lambda: supervisor.stop(name), undone_by=lambda: supervisor.start(name)):
        wait_for(stack, 1, *patterns)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("ksqldb", "the SQL engine is unavailable: .* does not answer in time"),
        pytest.param("broker", "Kafka at ", marks=pytest.mark.soak),
    ],
)
def test_a_server_that_is_frozen(stack: StackRun, name: str, pattern: str) -> None:
    freeze, thaw = signalled(stack, name, signal.SIGSTOP), signalled(stack, name, signal.SIGCONT)
    with disturbed(stack, by=freeze, undone_by=thaw):
        wait_for(stack, 1, f"PROBLEM: {pattern}")


def test_a_consumer_that_is_frozen(stack: StackRun) -> None:
    freeze, thaw = signalled(stack, "consumer", signal.SIGSTOP), signalled(stack, "consumer", signal.SIGCONT)
    with disturbed(stack, by=freeze, undone_by=thaw):
        stack.generate(*BATCH)
        wait_for(
            stack,
            1,
            r"PROBLEM: no consumer is a member of the group streamguard-consumer",
            r"PROBLEM: the consumer stands still in transactions/\d at offset \d+: \d+ records wait",
        )
        stack.generate("batch", "--count", "300", "--seed", "4")
        # Compared with the call before: it is said once.
        falls_behind = r"PROBLEM: the consumer falls behind: \d+ records wait, \d+ more than before"
        eventually(lambda: looked(stack), lambda seen: bool(re.search(falls_behind, seen[1])), 90)
    stack.wait_count("transactions", 600)


def test_an_outbox_that_is_not_drained(stack: StackRun) -> None:
    supervisor = Supervisor(stack.settings)
    with disturbed(stack, by=lambda: supervisor.stop("consumer"), undone_by=lambda: supervisor.start("consumer")):
        insert = "INSERT INTO outbox (topic, value) VALUES ('decisions', '{}')"
        stack.streamguard("psql", "-c", insert)
        wait_for(stack, 1, r"PROBLEM: 1 records wait in the outbox, the oldest for \d+ s")


def test_a_query_that_is_paused_or_terminated(stack: StackRun) -> None:
    name, url = "HIGH_AMOUNT", stack.settings.ksqldb_url

    def tell(statement: str) -> Callable[[], object]:
        return lambda: stack.run(BIN / "ksql", "-e", f"{statement} {name};", url)

    with disturbed(stack, by=tell("PAUSE"), undone_by=tell("RESUME")):
        wait_for(stack, 1, rf"PROBLEM: the query {name} is paused: .*`RESUME {name};`")
    with disturbed(stack, by=tell("TERMINATE"), undone_by=lambda: stack.streamguard("deploy")):
        wait_for(stack, 1, rf"PROBLEM: the server does not have {name} of queries.sql")


def test_a_server_that_was_terminated_is_started_again_by_the_next_start(stack: StackRun) -> None:
    before = stack.snapshot()
    url = stack.settings.ksqldb_url

    def terminate() -> None:
        assert requests.post(f"{url}/ksql/terminate", json={"deleteTopicList": []}, timeout=30).ok

    def start() -> None:
        assert "ksqldb was terminated: it is started again" in stack.start_core()

    with disturbed(stack, by=terminate, undone_by=start):
        said = wait_for(
            stack, 1, rf"PROBLEM: the SQL engine at {url} was terminated .*`streamguard up` starts it again"
        )
        assert "is unavailable" not in said
    stack.wait_settled()
    assert stack.snapshot() == before


@pytest.mark.soak
def test_a_rule_that_is_off_is_no_problem_and_a_start_finishes_what_was_cut_off(stack: StackRun) -> None:
    name = "HIGH_AMOUNT"

    def store(mode: str) -> Callable[[], object]:
        return lambda: stack.streamguard("psql", "-c", f"UPDATE rule_modes SET mode = '{mode}' WHERE rule = '{name}'")

    def start() -> str:
        return stack.start_core()

    stack.streamguard("rules", "set", name, "off", "--reason", "noisy")
    with disturbed(stack, by=store("active"), undone_by=start):
        wait_for(stack, 1, f"PROBLEM: the query {name} is PAUSED, the mode of its rule asks for `RESUME {name};`")
    with disturbed(stack, by=store("off"), undone_by=start):
        wait_for(stack, 1, f"PROBLEM: the query {name} is RUNNING, the mode of its rule asks for `PAUSE {name};`")
    stack.streamguard("rules", "set", name, "active", "--reason", "good")


def test_a_query_that_fails_again_and_again(stack: StackRun) -> None:
    """Its topic takes no record, so it starts again and again; each time the reason is the same."""
    url = stack.settings.ksqldb_url
    statements = (
        "CREATE STREAM odd (a VARCHAR KEY, b VARCHAR) WITH (KAFKA_TOPIC='odd', VALUE_FORMAT='JSON', PARTITIONS=1);"
    )
    said = stack.run(BIN / "ksql", "-e", f"{statements} CREATE STREAM even AS SELECT * FROM odd;", url).stdout
    [name] = re.findall(r"query with ID (\w+)", said)

    def limit(size: int) -> Callable[[], object]:
        return lambda: stack.streamguard("topics", "alter", "EVEN", "--config", f"max.message.bytes={size}")

    with disturbed(stack, by=limit(1), undone_by=limit(1_000_000)):
        stack.run(BIN / "ksql", "-e", "INSERT INTO odd (a, b) VALUES ('1', 'x');", url)
        wait_for(stack, 1, rf"PROBLEM: the query {name} has failed \(ERROR.*\): its rule sees no transaction")
    # Between two attempts it looks as if it ran.
    eventually(lambda: stored_count(stack.settings.kafka_bootstrap_servers, "EVEN"), lambda count: count >= 1, 90)
    wait_for(stack, 0)


def found_by_doctor(stack: StackRun) -> list[tuple[str, str]]:
    report = examine(load=lambda: stack.settings)
    assert report.unchecked == []
    return [(one.what, one.cure) for one in report.findings]


def test_the_doctor_on_a_stack_that_runs(stack: StackRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for(stack, 0)
    assert found_by_doctor(stack) == []
    name, url = "HIGH_AMOUNT", stack.settings.ksqldb_url
    server = Server(stack.settings.ksqldb)
    server.execute(f"PAUSE {name};")
    try:
        assert found_by_doctor(stack) == [
            (f"the query {name} is paused: its rule sees no transaction", f"`RESUME {name};` continues it")
        ]
    finally:
        server.execute(f"RESUME {name};")
    stranger = [sys.executable, "-c", "import sys; sys.stdin.read()", str(stack.settings.state_path / "broker")]
    with subprocess.Popen(stranger, stdin=subprocess.PIPE) as process:
        [(what, cure)] = found_by_doctor(stack)
        assert f"(process {process.pid}) works in {stack.settings.state_path} and is no part of the stack" in what
        assert cure.startswith(f"end it (`kill {process.pid}`)")
        process.communicate()
    (tmp_path / "ksqldb").mkdir()
    monkeypatch.chdir(tmp_path)
    text = (DATA / SQL_FOLDER / "queries.sql").read_text(encoding="utf-8")
    edited, count = re.subn(r"(DEFINE high_amount\w* = ')[\d.]+'", r"\g<1>4321'", text)
    assert count == 1, url
    (tmp_path / "ksqldb" / "queries.sql").write_text(edited, encoding="utf-8")
    [(what, cure)] = found_by_doctor(stack)
    assert what == f"{name} of ksqldb/queries.sql runs in another version than the file has"
    assert cure == "`streamguard deploy --replace ksqldb/queries.sql`, or put into the file what runs"


def test_the_command_says_what_the_checks_say(stack: StackRun) -> None:
    wait_for(stack, 0)
    code, said = status(stack)
    assert code == 0 and "PROBLEM" not in said and "all is well" in said and "\x1b" not in said
    supervisor = Supervisor(stack.settings)
    with disturbed(stack, by=lambda: supervisor.stop("consumer"), undone_by=lambda: supervisor.start("consumer")):
        code, said = status(stack)
        assert code == 1 and "PROBLEM: consumer is stopped: " in said


def test_the_document_and_the_watch_say_it_too(stack: StackRun) -> None:
    stack.generate("batch", "--count", "300", "--seed", "5")
    stack.wait_count("transactions", 300)
    wait_for(stack, 0)
    command = [str(BIN / "streamguard"), "status", "--watch", "0.5", "--json"]
    environment = {**os.environ, **stack.environment}
    with subprocess.Popen(command, cwd=PROJECT_ROOT, env=environment, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        first, second = (json.loads(watching.stdout.readline()) for _ in range(2))
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 0
    assert first["format"] == 1 and first["taken_at"] <= second["taken_at"]
    assert second["state"] == "well" and not [one for one in second["findings"] if one["serious"]]
    parts = {part["name"]: part for part in second["parts"]}
    assert {"postgres", "broker", "ksqldb", "consumer"} <= set(parts)
    assert all(part["state"] == "running" and part["memory_bytes"] > 1_000_000 for part in parts.values())
    assert {"HIGH_AMOUNT", "HIGH_VELOCITY"} <= {query["name"] for query in second["queries"]}
    assert {rule["mode"] for rule in second["rules"]} == {"active"}
    topics = {topic["name"]: topic for topic in second["topics"]}
    assert topics["transactions"]["records"] >= 300 and topics["transactions"]["consumer_lag"] == 0
    assert second["stored"]["transactions"] >= 300 and second["rates"]["transactions_per_s"] >= 0
    assert second["backlog"]["outbox"] == 0 and second["disk"]["free_bytes"] > 0


@pytest.mark.soak
def test_dead_letters_and_topics_are_notes(stack: StackRun) -> None:
    producer = KafkaProducer(bootstrap_servers=stack.settings.kafka_bootstrap_servers)
    producer.send("transactions", key=b"A", value=b"{").get(timeout=30)
    [sent] = [producer.send("fraud_labels", b"{}", partition=0).get(timeout=30)]
    producer.close(timeout=20)
    admin = KafkaAdminClient(bootstrap_servers=stack.settings.kafka_bootstrap_servers)
    admin.delete_records({TopicPartition("fraud_labels", 0): sent.offset + 1})
    admin.close()
    stack.streamguard("topics", "alter", "fraud_labels", "--config", "retention.ms=1000000")
    said = wait_for(
        stack,
        0,
        r"note: dead letters: 1 of transactions",
        r"note: the query HIGH_AMOUNT has left out 1 records since the server started \(1 deserialization\)",
        r"note: records removed from topics by retention or on request: 1 of fraud_labels",
        r"note: topic fraud_labels has retention.ms=1000000, -1 is expected; if it is not meant, ",
    )
    assert "PROBLEM" not in said
    stack.streamguard("topics", "delete", "fraud_labels", "--yes")
    wait_for(stack, 1, "PROBLEM: the broker does not have the topics fraud_labels: `streamguard up` makes them")
    stack.start_core()
    wait_for(stack, 0)


def test_a_process_that_ends_again_and_again(stack: StackRun) -> None:
    supervisor, seen = Supervisor(stack.settings), {0}
    for _ in range(3):
        process = eventually(
            lambda: supervisor.processes()["consumer"], lambda p: p.state == "RUNNING" and p.pid not in seen
        )
        seen.add(process.pid)
        os.kill(process.pid, signal.SIGKILL)
    wait_for(stack, 1, r"PROBLEM: consumer has ended [3-9] times in the last 5 minutes and was started again: ")
