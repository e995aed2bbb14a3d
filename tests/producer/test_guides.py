"""The guides are true: every console block in them is run, and what it prints is compared.

In a block, a line that begins with `$ ` is run; the lines after it are what it prints, stderr before stdout. `...`
stands for anything on a line, a line of `...` alone for any lines; `[exit N]` is the exit code, 0 unless said.
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

from streamguard.producer.cli import app
from tests.support.broker import BrokerProcess

ROOT = Path(__file__).parents[2]
HANDBOOK = ROOT.parent / "shared" / "data" / "handbook"
GUIDES = ("FAKE_GENERATOR_GUIDE.md", "KAFKA_PRODUCER_GUIDE.md")


def blocks(language: str) -> list[tuple[str, str]]:
    """(guide, block) of every fenced block of that language."""
    fence = re.compile(rf"^```{language}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [(guide, block) for guide in GUIDES for block in fence.findall((ROOT / "docs" / guide).read_text("utf-8"))]


def expected(lines: list[str]) -> tuple[re.Pattern[str], int]:
    """What a command should print, as a pattern, and the exit code it should have."""
    code = 0
    if lines and (said := re.fullmatch(r"\[exit (\d+)\]", lines[-1])):
        code, lines = int(said.group(1)), lines[:-1]
    parts = [r"(?:.*\n)*" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r"\n" for line in lines]
    return re.compile("".join(parts)), code


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
    command, *lines = block.rstrip("\n").split("\n")
    assert command.startswith("$ "), "a block holds one command"
    if "transactions-2018-04" in command:
        if not HANDBOOK.exists():
            pytest.skip("the recordings are not here")
        (tmp_path / "transactions-2018-04.csv.gz").symlink_to(HANDBOOK / "transactions-2018-04.csv.gz")
    needs_broker = not re.search(r"preview|report|--to-file|BOOTSTRAP|exit 2", block)
    address = request.getfixturevalue("broker").address if needs_broker else "127.0.0.1:1"
    monkeypatch.chdir(tmp_path)
    outcome = run(command[2:], address)
    pattern, code = expected(lines)
    printed = outcome.stderr + outcome.stdout
    assert outcome.exit_code == code, printed
    assert pattern.fullmatch(printed), f"{guide} says\n{block}\nbut it prints\n{printed}"


@pytest.mark.integration
@pytest.mark.parametrize(("guide", "block"), blocks("python"))
def test_a_program_of_a_guide_runs(broker: BrokerProcess, tmp_path: Path, guide: str, block: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(block.replace("127.0.0.1:9092", broker.address), encoding="utf-8")
    started_s = time.monotonic()
    outcome = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert "offset=0" in outcome.stdout
    assert time.monotonic() - started_s < 30
