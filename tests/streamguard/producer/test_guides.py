"""The guides are true: every console block in them is run, and what it prints is compared (tests/support/pages.py).

The scorecards in the generator's guide need a stack: tests/integration/test_documents.py.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from streamguard.cli.generate import app
from streamguard.config import Settings
from streamguard.kafka.topics import ensure_topics
from tests.support import pages
from tests.support.broker import BrokerProcess

ROOT = Path(__file__).parents[3]
HANDBOOK = ROOT.parent / "shared" / "data" / "handbook"
GUIDES = ("docs/FAKE_GENERATOR_GUIDE.md", "docs/KAFKA_PRODUCER_GUIDE.md")


def blocks(language: str) -> list[tuple[str, str]]:
    """(guide, block) of every fenced block of that language."""
    return [(guide, block) for guide in GUIDES for block in pages.blocks(guide, language)]


def run(command: str, address: str) -> Result:
    """The command as a shell takes it apart, in this process (test_commands.py runs the script), with this broker."""
    words = shlex.split(command, comments=True)
    environment = {"KAFKA_BOOTSTRAP_SERVERS": address}
    while "=" in words[0]:
        name, _, environment[name] = words.pop(0).partition("=")
    assert words.pop(0) == "./generate_transactions.py"
    return CliRunner().invoke(app, words, env=environment)


@pytest.mark.integration
@pytest.mark.parametrize(("guide", "block"), blocks("console"))
def test_a_command_of_a_guide_prints_what_the_guide_says(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guide: str, block: str
) -> None:
    command, pattern, code = pages.console(block)
    if "transactions-2018-04" in command:
        if not HANDBOOK.exists():
            pytest.skip("the recordings are not here")
        (tmp_path / "transactions-2018-04.csv.gz").symlink_to(HANDBOOK / "transactions-2018-04.csv.gz")
    needs_broker = not re.search(r"preview|report|--to-file|BOOTSTRAP|exit 2", block)
    address = request.getfixturevalue("broker").address if needs_broker else "127.0.0.1:1"
    monkeypatch.chdir(tmp_path)
    outcome = run(command, address)
    printed = outcome.stderr + outcome.stdout
    assert outcome.exit_code == code, printed
    assert pattern.fullmatch(printed), f"{guide} says\n{block}\nbut it prints\n{printed}"


@pytest.mark.integration
@pytest.mark.parametrize(("guide", "block"), blocks("python"))
def test_a_program_of_a_guide_runs(broker: BrokerProcess, tmp_path: Path, guide: str, block: str) -> None:
    ensure_topics(Settings(KAFKA_BOOTSTRAP_SERVERS=broker.address))  # type: ignore[call-arg]
    program = tmp_path / "program.py"
    program.write_text(block.replace("127.0.0.1:9092", broker.address), encoding="utf-8")
    started_s = time.monotonic()
    outcome = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert "offset=0" in outcome.stdout
    assert time.monotonic() - started_s < 30
