"""scripts/pytest-twice.sh on small suites: what fails twice fails, what passes then is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import PROJECT_ROOT

PASSES = "def test_passes(): pass\n"
FAILS = "def test_fails(): assert False\n"
FLAKY = """
import pathlib
def test_flaky():
    seen = pathlib.Path("seen")
    if not seen.exists():
        seen.touch()
        assert False
"""


def run(folder: Path, *suite: str) -> tuple[int, str]:
    (folder / "test_suite.py").write_text("".join(suite))
    (folder / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [PROJECT_ROOT / "scripts" / "pytest-twice.sh", "-q"],
        cwd=folder,
        env={**os.environ, "PYTHON": sys.executable, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout


def test_a_suite_that_passes_runs_once(tmp_path: Path) -> None:
    code, said = run(tmp_path, PASSES)
    assert code == 0 and "once more" not in said and "flaky" not in said


def test_a_flaky_test_is_named_and_the_run_passes(tmp_path: Path) -> None:
    code, said = run(tmp_path, PASSES, FLAKY)
    assert code == 0
    assert said.endswith("== flaky, failed once and passed then:\ntest_suite.py::test_flaky\n")


@pytest.mark.parametrize("others", [(), (FLAKY,)])
def test_what_fails_twice_fails(tmp_path: Path, others: tuple[str, ...]) -> None:
    code, said = run(tmp_path, PASSES, FAILS, *others)
    assert code == 1
    assert "test_suite.py::test_fails\n" not in said.partition("== flaky")[2]
    assert ("== flaky" in said) == bool(others)


def test_an_error_while_collecting_is_not_repeated(tmp_path: Path) -> None:
    code, said = run(tmp_path, "import nothing_of_this_name\n")
    assert code == 2 and "once more" not in said
