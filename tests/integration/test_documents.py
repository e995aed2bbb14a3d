"""README, QUICKSTART and the runbook are true: every command in their blocks is run on a stack, as written.

The guides of the generator and the producer have a test of their own (tests/producer/test_guides.py), because theirs
say what is printed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest

from streamguard.config import PROJECT_ROOT
from tests.integration.stackrun import StackRun

pytestmark = pytest.mark.integration

DOCUMENTS = ("README.md", "QUICKSTART.md", "docs/runbook.md")
CARD_FILE = PROJECT_ROOT.parent / "shared" / "data" / "handbook" / "transactions-2018-04.csv.gz"
ENDLESS = {".venv/bin/streamguard logs -f": ".venv/bin/streamguard logs"}
"""What a person leaves with Ctrl-C, and what stands for it here."""


def commands() -> list[str]:
    """Every command of the blocks without a language, without its comment; starting and stopping is the fixture's."""
    found = []
    for name in DOCUMENTS:
        text = (PROJECT_ROOT / name).read_text(encoding="utf-8")
        for block in re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            lines = [line for line in block.splitlines() if line.startswith((".venv/bin/", "./generate"))]
            found += [shlex.join(shlex.split(line, comments=True)) for line in lines]
    return list(dict.fromkeys(found))


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StackRun, str]]:
    """A stack with a burst and some payments in it, and what its start printed."""
    stack = StackRun(tmp_path_factory.mktemp("documents") / "state")
    said = stack.start()
    stack.generate("batch", "--count", "500", "--begin-with", "high_amount")
    stack.generate("velocity", "--account", "ACC-1", "--count", "8")
    stack.wait_count("fraud_alerts WHERE rule = 'HIGH_VELOCITY'", 1)
    yield stack, said
    stack.run("./stop.sh", "--wipe", check=False)


def alert_of(stack: StackRun, rule: str) -> str:
    return str(stack.query(f"SELECT alert_id FROM fraud_alerts WHERE rule = '{rule}' ORDER BY 1 LIMIT 1")[0][0])


@pytest.mark.parametrize("command", commands())
def test_a_command_runs_as_written(started: tuple[StackRun, str], command: str) -> None:
    stack, _ = started
    words = shlex.split(ENDLESS.get(command, command))
    if "replay" in words:
        if not CARD_FILE.exists():
            pytest.skip("the recordings are not here")
        words = [str(CARD_FILE) if word == CARD_FILE.name else word for word in words] + ["--limit", "200"]
    words = [alert_of(stack, word[:-4]) if word.endswith(":...") else word for word in words]
    if words[0].endswith("ksql"):
        # The shell stands alone and knows no .env: without an address it asks where ksqlDB is by default.
        words.append(stack.settings.ksqldb_url)
    done = stack.run(*words)
    assert "Traceback" not in done.stderr


def without_numbers(text: str) -> str:
    """The words of a line; times, ports, accounts and counts differ from run to run."""
    return " ".join(re.sub(r"\d[\d.,:-]*", "N", text.replace(" starting ", " running ")).split())


def test_start_prints_what_the_readme_shows(started: tuple[StackRun, str]) -> None:
    _, said = started
    readme = (PROJECT_ROOT / "README.md").read_text("utf-8")
    shown = re.findall(r"^```\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)[1]
    assert shown.startswith("Starting StreamGuard:")
    printed = {without_numbers(line) for line in said.splitlines()}
    for line in shown.split("First alerts:")[0].splitlines():
        assert without_numbers(line) in printed or not line.strip(), f"{line!r} is not in\n{said}"
