"""The commands of runbook, security page and the shell guides exist, with their options; their settings are settings."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import lru_cache

import pytest

from streamguard.cli import app
from streamguard.cli.usage import run
from streamguard.config import Settings, variable_of
from streamguard.rules.limits import RuleLimits
from tests.docs.commands import commands, shell_blocks, simple_commands
from tests.support import pages

PAGES = ("docs/batch.md", "docs/runbook.md", "docs/security.md")
SCRIPTS = {
    "start.sh": ["up"],
    "stop.sh": ["down"],
    "generate_transactions.py": ["generate"],
}
MODULES = {"ksql": "streamguard_ksql.shell.main", "ksql-test-runner": "streamguard_ksql.testing.runner"}
HELP = "import sys; sys.argv[1:] = ['--help']; from {0} import main; sys.exit(main())"

of_pages = pytest.mark.parametrize(
    "words", [pytest.param(words, id=" ".join(words)[:80]) for page in PAGES for words in commands(page)]
)


@lru_cache
def options_of(program: str) -> frozenset[str]:
    """The options that a program, or a module that is run, has in its help."""
    start = ["-c", HELP.format(MODULES[program])] if program in MODULES else ["-m", program, "--help"]
    done = subprocess.run([sys.executable, *start], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{program}: {done.stderr}"
    return frozenset(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", done.stdout))


@of_pages
def test_a_command_exists_with_its_options(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program, *arguments = words
    if program in ("streamguard", *SCRIPTS):
        arguments = [*SCRIPTS.get(program, []), *arguments]
        # A group reads the file that is named before its command.
        arguments = ["/dev/null" if word == "FILE" else word for word in arguments]
        # What follows is psql's own, which has no help of ours.
        if arguments[:1] == ["psql"]:
            return
        # Options that a command does not have are found before it shows its help; what it needs besides is not asked for.
        monkeypatch.setattr(sys, "argv", ["streamguard", *arguments, "--help"])
        assert run(app, name="streamguard") == 0, capsys.readouterr().err
        return
    given = {word.partition("=")[0] for word in arguments if re.match(r"--?[a-zA-Z]", word)}
    assert given <= options_of(program)


@pytest.mark.parametrize("page", PAGES)
def test_blocks_are_what_a_shell_reads_and_settings_are_settings(page: str) -> None:
    for block in shell_blocks(page):
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    known = {variable_of(name) for name in Settings.model_fields}
    known |= {RuleLimits.variable_of(name) for name in RuleLimits.model_fields}
    named = {name.removesuffix("_X") for name in re.findall(r"STREAMGUARD_[A-Z0-9_]*[A-Z0-9]", pages.read(page))}
    # `STREAMGUARD_PII_X` and `STREAMGUARD_PII_*` name those that begin so.
    assert not [name for name in named if not any(one == name or one.startswith(f"{name}_") for one in known)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A=1 .venv/bin/streamguard alerts list # the newest", [["streamguard", "alerts", "list"]]),
        ("export A=$(openssl rand -hex 8)\n./start.sh && ./stop.sh --wipe", [["start.sh"], ["stop.sh", "--wipe"]]),
        ("cat > f <<'E'\n./start.sh\nE\nksql -e 'SHOW TABLES;' > out", [["ksql", "-e", "SHOW TABLES;"]]),
        ("python -m streamguard_broker \\\n  --sasl | tee x", [["streamguard_broker", "--sasl"]]),
        ("people don't type this", []),
    ],
)
def test_commands_are_taken_out_of_a_text(text: str, words: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "blocks", lambda page, language="": [text] if language == "sh" else [])
    monkeypatch.setattr(pages, "spans", lambda page: [])
    assert commands("any") == words
    assert list(simple_commands("")) == []


def test_a_command_that_is_not_there_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in (["alerts", "lst"], ["alerts", "list", "--limt", "3"], ["topcs"]):
        monkeypatch.setattr(sys, "argv", ["streamguard", *arguments, "--help"])
        assert run(app, name="streamguard") == 2
