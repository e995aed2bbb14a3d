"""The documents are true: every command in them is run on a stack, as written, and its output compared where shown.

    README, QUICKSTART, runbook      the blocks without a language, and what the prose names with its `.venv/bin/`
    runbook, security                what only looks, wherever it stands (tests/docs/test_commands.py has all commands)
    broker.md, ksql-shell.md         the console blocks; the servers' synopses; the options in the tables
    own-data.md                      the console blocks, beside a copy of examples/
    FAKE_GENERATOR_GUIDE.md          its scorecard
    runbook                          the bytes of a transaction, on the scorecard's batch

The rest has tests of its own: the guides of generator and producer (tests/streamguard/producer/test_guides.py), and
testing-your-rules.md (tests/streamguard_ksql/testing/test_page.py).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from streamguard.bench.sizes import Sizes, measure
from streamguard.database.engine import make_engine
from streamguard.kafka.clients import kafka_admin
from tests.docs.commands import commands as shell_commands
from tests.integration.stackrun import BIN, StackRun
from tests.support import pages
from tests.support.broker import free_port
from tests.support.cards import write_months
from tests.support.processes import eventually
from tests.support.project import PROJECT_ROOT

pytestmark = pytest.mark.integration

DOCUMENTS = ("README.md", "QUICKSTART.md", "docs/runbook.md")
LOOKED_AT = ("docs/runbook.md", "docs/security.md")
LOOKS = {
    ("status",),
    *((group, "list") for group in ("alerts", "blacklist", "dead-letters", "groups", "rules", "topics", "users")),
    ("dead-letters", "show"),
    ("topics", "check"),
    ("topics", "describe"),
    ("users", "roles"),
}
"""Commands that change nothing: those of LOOKED_AT are run also where they are not named by their path."""
SERVERS = ("docs/broker.md", "docs/ksql-shell.md")
CONSOLES = (*SERVERS, "docs/own-data.md")
GENERATOR_GUIDE = "docs/FAKE_GENERATOR_GUIDE.md"
STREAMGUARD = ".venv/bin/streamguard"
SHORT_BENCH = f"{STREAMGUARD} bench pipeline --tps 50 --duration 2"
STAND_INS = {
    f"{STREAMGUARD} logs X": f"{STREAMGUARD} logs consumer",
    f"{STREAMGUARD} deploy ksqldb/sources/TOPIC.sql": f"{STREAMGUARD} deploy ksqldb/queries.sql",
    f"{STREAMGUARD} bench engine": f"{STREAMGUARD} bench engine --records 20000",
    f"{STREAMGUARD} bench pipeline": SHORT_BENCH,
    f"{STREAMGUARD} bench pipeline --tps 1000 --duration 60": SHORT_BENCH,
    f"{STREAMGUARD} evaluate --data DIR": f"{STREAMGUARD} evaluate --data DIR --test-start 2018-07-25",
}
"""What a person fills in or waits a minute for, and what is run here instead."""
ENDLESS = {f"{STREAMGUARD} logs -f": f"{STREAMGUARD} logs"}
"""What runs until Ctrl-C, and what is run here instead."""


def commands() -> list[str]:
    """Every command of the documents, without its comment; the fixture starts and stops."""
    found = []
    for name in DOCUMENTS:
        lines = [line for block in pages.blocks(name) for line in block.splitlines()]
        lines = [line for line in lines if line.startswith((".venv/bin/", "./generate"))]
        lines += [span for span in pages.spans(name) if span.startswith(".venv/bin/")]
        found += [shlex.join(shlex.split(STAND_INS.get(line, line), comments=True)) for line in lines]
    found += [shlex.join([STREAMGUARD, *words]) for page in LOOKED_AT for words in harmless(page)]
    return list(dict.fromkeys(found))


def harmless(page: str) -> list[list[str]]:
    """What the page's commands of `streamguard` only look at, without those that have something to be filled in."""
    found = [words[1:] for words in shell_commands(page) if words[0] == "streamguard"]
    looks = [words for words in found if tuple(words[:2]) in LOOKS or tuple(words[:1]) in LOOKS]
    return [words for words in looks if not any(re.fullmatch(r"[A-Z]+(=.*)?|.*\.\.\.", word) for word in words)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackRun]:
    stack = StackRun(tmp_path_factory.mktemp("documents") / "state")
    yield stack
    stack.run("./stop.sh", "--wipe", check=False)


@pytest.fixture(scope="module")
def scored(stack: StackRun) -> tuple[str, str]:
    """What a start without a generator printed, and what `evaluate` prints for the guide's batch."""
    said = stack.start_core()
    stack.generate("batch", "--count", "20000", "--seed", "7", "--fraud-share", "0.05")
    return said, scorecard(stack, pages.blocks(GENERATOR_GUIDE, "text")[0])


@pytest.fixture(scope="module")
def sizes(stack: StackRun, scored: tuple[str, str]) -> Sizes:
    """What the guide's batch takes on the disk, before anything else is sent."""
    stack.wait_count("transactions", 20_000)
    engine = make_engine(stack.settings)
    try:
        with kafka_admin(stack.settings) as kafka, engine.connect() as connection:
            return measure(connection, kafka)
    finally:
        engine.dispose()


@pytest.fixture(scope="module")
def started(stack: StackRun, scored: tuple[str, str], sizes: Sizes) -> tuple[StackRun, str]:
    """The same stack with a generator, a burst and some payments in it, and what its starts printed."""
    said = scored[0] + stack.start()
    stack.generate("batch", "--count", "500", "--begin-with", "high_amount")
    stack.generate("velocity", "--account", "ACC-1", "--count", "8")
    stack.wait_count("fraud_alerts WHERE rule = 'HIGH_VELOCITY' AND account_id = 'ACC-1'", 1)
    return stack, said


def scorecard(stack: StackRun, wanted: str, timeout_s: float = 30) -> str:
    """What `evaluate` prints when the rules have read everything: as soon as it is `wanted`, else the last output."""
    printed = ""

    def evaluated() -> str:
        nonlocal printed
        printed = stack.generate("evaluate")
        return printed

    try:
        return eventually(evaluated, lambda text: text == wanted, timeout_s, "the scorecard")
    except AssertionError:
        return printed


def alert_of(stack: StackRun, rule: str) -> str:
    return str(stack.query(f"SELECT alert_id FROM fraud_alerts WHERE rule = '{rule}' ORDER BY 1 LIMIT 1")[0][0])


def test_the_scorecard_of_the_guide_is_what_evaluate_prints(scored: tuple[str, str]) -> None:
    assert scored[1] == pages.blocks(GENERATOR_GUIDE, "text")[0]


def sizes_of_the_runbook() -> dict[str, int]:
    """Bytes of a transaction: in its topic, in its table, in all indexes of that, and in each by its name."""
    row = re.compile(r"^\| `transactions`, a transaction \| (\d+) \| (\d+)(.*) \|$", re.MULTILINE)
    (topic, _, _), (table, indexes, each) = row.findall(pages.read("docs/runbook.md").split("\n## Sizes\n")[1])
    by_name = {f"transactions_{name}": int(size) for name, size in re.findall(r"`(\w+)` (\d+)", each)}
    return {"topic": int(topic), "table": int(table), "indexes": int(indexes), **by_name}


def test_a_transaction_takes_the_bytes_that_the_runbook_says(sizes: Sizes) -> None:
    (topic,) = [topic.bytes for topic in sizes.topics if topic.name == "transactions"]
    (table,) = [found.bytes for found in sizes.relations if found.name == "transactions"]
    indexes = {found.name: found.bytes for found in sizes.relations if found.name.startswith("transactions_")}
    bytes_of = {"topic": topic, "table": table, "indexes": sum(indexes.values()), **indexes}
    found = {name: size / sizes.transactions for name, size in bytes_of.items()}
    assert found == {name: pytest.approx(size, rel=0.15, abs=1) for name, size in sizes_of_the_runbook().items()}
    assert sizes.topic_bytes + sizes.database_bytes <= 900


@pytest.mark.parametrize("command", commands())
def test_a_command_runs_as_written(started: tuple[StackRun, str], tmp_path: Path, command: str) -> None:
    stack, _ = started
    words = shlex.split(ENDLESS.get(command, command))
    if "replay" in words:
        (month,) = write_months(tmp_path, "04")
        words = [str(month) if word == month.name else word for word in words] + ["--limit", "200"]
    if "--data" in words:
        write_months(tmp_path, "06", "07")
        words = [str(tmp_path) if word == "DIR" else word for word in words]
    words = [alert_of(stack, word[:-4]) if word.endswith(":...") else word for word in words]
    if words[0].endswith("ksql"):
        # The shell reads no .env: without an address it asks where ksqlDB is by default.
        words.append(stack.settings.ksqldb_url)
    done = stack.run(*words)
    assert "Traceback" not in done.stderr


def without_numbers(text: str) -> str:
    """The words of a line; times, ports, accounts, counts and passwords differ from run to run."""
    text = re.sub(r"password \S+$", "password P", text)
    return " ".join(re.sub(r"\d[\d.,:-]*", "N", text.replace(" starting ", " running ")).split())


def test_start_prints_what_the_readme_shows(started: tuple[StackRun, str]) -> None:
    _, said = started
    (shown,) = [block for block in pages.blocks("README.md") if block.startswith("Starting StreamGuard:")]
    printed = {without_numbers(line) for line in said.splitlines()}
    for line in shown.split("First alerts:")[0].splitlines():
        assert without_numbers(line) in printed or not line.strip(), f"{line!r} is not in\n{said}"


ODD = """Order;Customer;Paid at;Total;Currency
B-1;jane@example.com;14/11/2025 10:00:00;12,50;EUR
B-2;jane@example.com;15/11/2025 25:61;7,00;EUR
B-3;jane@example.com;15/11/2025 10:00:00;5,00;XYZ
"""
"""The file with two odd rows of docs/own-data.md."""


@pytest.mark.parametrize(
    ("page", "block"), [(page, block) for page in CONSOLES for block in pages.blocks(page, "console")]
)
def test_a_console_prints_what_its_page_says(
    started: tuple[StackRun, str], tmp_path: Path, page: str, block: str
) -> None:
    stack, _ = started
    for script in pages.blocks(page, "sql"):
        (tmp_path / "rules.sql").write_text(script, encoding="utf-8")
    shutil.copytree(PROJECT_ROOT / "examples", tmp_path / "examples")
    (tmp_path / "odd.csv").write_text(ODD, encoding="utf-8")
    command, pattern, code = pages.console(block)
    done = subprocess.run(
        command_line(command),
        cwd=tmp_path,
        env={**os.environ, **stack.environment, "KSQLDB_URL": stack.settings.ksqldb_url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    printed = pages.without_trailing_blanks(done.stderr + done.stdout)
    assert done.returncode == code, printed
    assert pattern.fullmatch(printed), f"{page} says\n{block}\nbut it prints\n{printed}"


def command_line(command: str) -> list[str]:
    """A command of a page, with the program from the project's own environment."""
    program, *arguments = shlex.split(command, comments=True)
    return [str(BIN / program), *arguments]


def synopses(page: str) -> list[str]:
    """How the page says that a server or tool is called: a line each, continued by indented ones."""
    text = "\n".join(block for block in pages.blocks(page) if block.startswith(("streamguard ", "python -m ")))
    return re.sub(r"\n +", " ", text).split("\n")


def filled_in(synopsis: str, stack: StackRun, folder: Path, port: int) -> list[str]:
    """The command line of a synopsis, with every optional part and something for every placeholder."""
    stand_ins = {
        "DIR": str(folder),
        "NAME": "ana",
        "ID": "alone_",
        "NAME=VALUE": "ksql.streams.num.stream.threads=1",
        "FILE": f"{folder}.json",
        "text|json": "json",
    }
    words = command_line(re.sub(r"\[options\]|\.\.\.|[\[\]]", "", synopsis))
    after = {
        "--listen": f"127.0.0.1:{port}",
        "--bootstrap-servers": stack.settings.kafka_bootstrap_servers,
        "--metrics": "127.0.0.1:0",
    }
    return [after.get(before, stand_ins.get(word, word)) for before, word in zip(["", *words], words, strict=False)]


@pytest.mark.parametrize(
    "synopsis", [synopsis for page in SERVERS for synopsis in synopses(page) if "--listen" in synopsis]
)
def test_a_server_runs_alone_as_its_page_says(started: tuple[StackRun, str], tmp_path: Path, synopsis: str) -> None:
    port = free_port()
    process = subprocess.Popen(
        filled_in(synopsis, started[0], tmp_path / "data", port), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    try:
        eventually(lambda: answers(port, http="ksql" in synopsis), bool, 30, synopsis)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0 and b"Traceback" not in said, said.decode()


def answers(port: int, http: bool) -> bool:
    """Whether a server is ready on that port of this machine."""
    if http:
        try:
            return requests.get(f"http://127.0.0.1:{port}/info", timeout=5).ok
        except requests.RequestException:
            return False
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_users_are_made_as_the_page_of_the_broker_says(started: tuple[StackRun, str], tmp_path: Path) -> None:
    (synopsis,) = [line for line in synopses("docs/broker.md") if "add_user" in line]
    words = filled_in(synopsis, started[0], tmp_path, 0)
    done = subprocess.run(words, input="s3cret\n", capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    users = (tmp_path / "users.json").read_text()
    assert "ana" in users and "s3cret" not in users


@pytest.mark.parametrize(
    ("page", "command"),
    [("docs/broker.md", "streamguard broker"), ("docs/broker.md", "python -m streamguard_broker"),
     ("docs/ksql-shell.md", "ksql"), ("docs/ksql-shell.md", "python -m streamguard_ksql.server")],
)  # fmt: skip
def test_a_page_names_every_option(page: str, command: str) -> None:
    done = subprocess.run([*command_line(command), "--help"], capture_output=True, text=True, timeout=30)
    options = set(re.findall(r"--[a-z][a-z-]+", done.stdout)) - {
        "--help",
        "--execute",
        "--file",
        "--user",
        "--password",
    }
    assert options, done.stdout + done.stderr
    assert options <= set(re.findall(r"--[a-z][a-z-]+", pages.read(page)))


def test_the_bench_of_the_broker_runs() -> None:
    assert "streamguard bench broker" in pages.spans("docs/broker.md")
    small = "--records 1000 --python-records 1000 --latency-seconds 0.2"
    done = subprocess.run(command_line(f"streamguard bench broker {small}"), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "kafka-python produce, records/s" in done.stdout
