"""Commands whose standard streams are closed or full, as cron and full disks leave them, or whose Python is told odd things."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import PROJECT_ROOT

STREAMGUARD = str(PROJECT_ROOT / ".venv" / "bin" / "streamguard")
GENERATE = str(PROJECT_ROOT / "generate_transactions.py")


def run(redirection: str, *command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command with its streams as a shell's redirection makes them; stderr is what is seen."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *command],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("redirection", "command", "code", "said"),
    [
        ("<&- >&-", (STREAMGUARD, "down"), 0, ""),
        (
            ">/dev/full",
            (STREAMGUARD, "--help"),
            1,
            "streamguard: the output cannot be written (No space left on device): send it elsewhere\n",
        ),
        (
            ">/dev/full",
            (sys.executable, GENERATE, "batch", "--count", "1", "--to-file", "one.jsonl"),
            1,
            "generate: the output cannot be written (No space left on device): send it elsewhere\n",
        ),
    ],
)
def test_a_stream_that_is_closed_or_full_is_no_traceback(
    redirection: str, command: tuple[str, ...], code: int, said: str, tmp_path: Path
) -> None:
    done = run(redirection, *command, folder=tmp_path)
    assert (done.returncode, done.stderr) == (code, said)


def test_strict_warnings_and_another_kafka_on_the_path_end_no_command(tmp_path: Path) -> None:
    (tmp_path / "kafka.py").write_text("raise RuntimeError('another kafka')\n")
    environment = {"PYTHONWARNINGS": "error", "PYTHONPATH": str(tmp_path)}
    done = run("", sys.executable, "-m", "streamguard.cli", "topics", "--help", folder=tmp_path, **environment)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "program",
    [(STREAMGUARD, "rules"), (sys.executable, "-m", "streamguard.cli", "rules"), (sys.executable, GENERATE)],
)
def test_a_python_that_leaves_out_assertions_and_texts_changes_nothing(
    program: tuple[str, ...], tmp_path: Path
) -> None:
    """kafka-python reads the end of an answer within an `assert`; texts of commands and rules are docstrings."""
    usual, optimised = (run("", *program, "--help", folder=tmp_path, PYTHONOPTIMIZE=level) for level in ("", "2"))
    assert (optimised.returncode, optimised.stdout, optimised.stderr) == (0, usual.stdout, "")


def test_a_limit_of_the_rules_that_cannot_be_is_one_sentence_of_the_generator(tmp_path: Path) -> None:
    done = run("", sys.executable, GENERATE, "preview", folder=tmp_path, STREAMGUARD_RULES_X="1")
    sentence = "generate: STREAMGUARD_RULES_X is not a setting; the nearest one is "
    assert done.returncode == 2 and done.stderr.startswith(sentence) and done.stderr.count("\n") == 1, done.stderr
