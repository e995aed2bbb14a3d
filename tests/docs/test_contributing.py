"""CONTRIBUTING.md is true: each of its recipes is carried out on a copy of the project, exactly as written.

The new tests alone have to fail; with the rest of the recipe they pass.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.recipes import Recipe, recipes

ROOT = Path(__file__).parents[2]
LEFT_OUT = (".*", "__pycache__", "*.egg-info", "build", "dist", "site")
TIMEOUT_S = 300
BUDGET = {
    "Add a Python rule": 2,
    "Add a SQL rule": 3,
    "Add a field of a transaction": 3,
    "Add a sink": 2,
    "Add a page of the desk": 4,
    "Add a SQL function": 2,
    "Add an API key to the broker": 2,
}
"""How many files a recipe may touch. What its commands generate does not count."""
RECIPES = recipes()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project without its environment and its state."""
    return Path(shutil.copytree(ROOT, tmp_path / "project", symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT)))


def run(project: Path, command: str) -> subprocess.CompletedProcess[str]:
    """A command of the page, with the programs of this environment and the packages of the copy."""
    program, *arguments = shlex.split(command)
    assert program.startswith(".venv/bin/"), command
    name = program.removeprefix(".venv/bin/")
    words = [sys.executable, *(() if name == "python" else ("-m", name)), *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PYTHONPATH"] = str(project / "src")
    return subprocess.run(
        words, cwd=project, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


def carry_out(recipe: Recipe, project: Path) -> None:
    """Make the edits, tests first, and run the commands; the first command fails as long as the tests are alone."""
    for edit in recipe.edits:
        if edit.is_test:
            edit.apply(project)
    if any(edit.is_test for edit in recipe.edits):
        assert run(project, recipe.commands[0]).returncode == 1, "the new tests pass without what they test"
    for edit in recipe.edits:
        if not edit.is_test:
            edit.apply(project)
    for command in recipe.commands:
        done = run(project, command)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_every_recipe_has_its_budget() -> None:
    assert set(RECIPES) == set(BUDGET)


ALWAYS = ("Add a SQL rule",)
"""The others are carried out with --soak: each is a copy of the project with a run of its tests."""


@pytest.mark.integration
@pytest.mark.parametrize(
    "title", [pytest.param(title, marks=[] if title in ALWAYS else [pytest.mark.soak]) for title in BUDGET]
)
def test_a_recipe_works_as_written_within_its_budget(project: Path, title: str) -> None:
    recipe = RECIPES[title]
    assert len({edit.path for edit in recipe.edits}) <= BUDGET[title]
    carry_out(recipe, project)
    python = [edit.path for edit in recipe.edits if edit.path.endswith(".py")]
    for check in ("check", "format --check"):
        style = run(project, f".venv/bin/ruff {check} {shlex.join(python)}")
        assert style.returncode == 0, style.stdout


def test_the_new_function_is_there_for_statements(project: Path) -> None:
    for edit in RECIPES["Add a SQL function"].edits:
        edit.apply(project)
    case = {
        "name": "reverse",
        "statements": [
            "CREATE STREAM s (id STRING KEY, name STRING) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');",
            "CREATE STREAM r AS SELECT id, REVERSE(name) AS name FROM s;",
        ],
        "inputs": [{"topic": "s", "key": "1", "value": {"name": "abc"}}],
        "outputs": [{"topic": "R", "key": "1", "value": {"NAME": "cba"}}],
    }
    (project / "case.json").write_text(json.dumps({"tests": [case]}), encoding="utf-8")
    done = run(project, """.venv/bin/python -c "from streamguard_ksql.testing.runner import main; main()" case.json""")
    assert "1 passed, 0 failed" in done.stdout, done.stdout + done.stderr


FIELD_IS_STORED = """
from tests.support.desk import Desk
from tests.support.records import T0_MS, transaction


def test_the_field_is_stored(desk: Desk) -> None:
    assert desk.feed(transaction(0, "t", "A", 1, T0_MS, postal_code="01310-100")) == 0
    assert desk.rows("SELECT postal_code FROM transactions") == [("01310-100",)]
"""


@pytest.mark.integration
def test_the_new_field_is_stored_in_a_new_database(project: Path) -> None:
    for edit in RECIPES["Add a field of a transaction"].edits:
        edit.apply(project)
    test = project / "tests" / "streamguard" / "consumer" / "test_postal_code.py"
    test.write_text(FIELD_IS_STORED, encoding="utf-8")
    done = run(project, f".venv/bin/pytest {test.relative_to(project)}")
    assert done.returncode == 0, done.stdout
