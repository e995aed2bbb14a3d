"""The commands on a real database, as a person types them; and errors as one sentence."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version

import pytest

from streamguard.cli import COMMANDS, HIDDEN
from streamguard.config import load_settings
from streamguard.database import apply_schema, make_engine
from tests.support.postgres import EmbeddedPostgres


class Line:
    """`streamguard ...` in a process of its own."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "streamguard.cli", *arguments],
            env={**os.environ, "DATABASE_URL": self.url},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def line(postgres: EmbeddedPostgres) -> Line:
    engine = make_engine(load_settings(database_url=postgres.url()))
    apply_schema(engine)
    engine.dispose()
    return Line(postgres.url())


def test_help_names_every_command(line: Line) -> None:
    said = line("--help")
    assert all(f"  {name} " in said for name in COMMANDS if name not in HIDDEN)


def test_lists_are_kept(line: Line) -> None:
    assert "the blacklist is empty" in line("blacklist", "list")
    assert "merchant M-1 is on the blacklist until" in line(
        *("blacklist", "add", "merchant", "M-1", "--reason", "closed", "--days", "2")
    )
    line("blacklist", "add", "account", "A", "--reason", "stolen")
    assert "stolen" in line("blacklist", "list")
    assert "the allowlist is empty" in line("allowlist", "list")
    assert "off the blacklist" in line("blacklist", "remove", "account", "A")
    assert "is not on the blacklist" in line("blacklist", "remove", "account", "A", code=1)
    line("blacklist", "add", "planet", "Mars", "--reason", "far", code=2)


def test_rules_are_switched(line: Line) -> None:
    assert re.search(r"^python night +active +v1", line("rules", "list"), re.M)
    assert line("rules", "set", "night", "shadow") == "night is shadow\n"
    listed = line("rules", "list")
    assert re.search(r"^python night +shadow +v1", listed, re.M)
    assert re.search(r"^sql    HIGH_VELOCITY +v1 .*within a tumbling minute", listed, re.M)
    assert "there is no Python rule nigh; there are:" in line("rules", "set", "nigh", "off", code=1)


def test_psql_passes_its_arguments_on(line: Line) -> None:
    assert line("psql", "-At", "-c", "SELECT count(*) FROM transactions") == "0\n"
    assert line("psql", "-c", "SELEC", code=1).count("ERROR") == 1


def test_what_a_person_can_put_right_is_one_sentence(line: Line) -> None:
    assert line("deploy", "none.sql", code=1).startswith("streamguard: none.sql: No such file")
    assert "no alerts" in line("alerts", "list")
    assert "there is no alert x" in line("alerts", "confirm", "x", "--reason", "y", code=1)
    line.url = "postgresql://streamguard:wrong@" + line.url.split("@")[1]
    assert "password authentication failed" in line("alerts", "list", code=1)


def test_tables_that_are_missing_are_one_sentence(line: Line, postgres: EmbeddedPostgres) -> None:
    postgres.wipe()
    assert "`streamguard up` makes them" in line("status", code=1)


def test_the_version_is_that_of_the_distribution(line: Line) -> None:
    assert line("--version") == f"streamguard {version('streamguard')}\n"
