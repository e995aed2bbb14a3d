"""The commands on a real database, as a person types them; and errors as one sentence."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from unittest.mock import ANY

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
    line("blacklist", "add", "account", "A", "--reason", "stolen twice", "--by", "ana")
    assert re.search(r"^account +A +without end +ana 2\d{3}-\d\d-\d\d +stolen twice$", line("blacklist", "list"), re.M)
    assert "the allowlist is empty" in line("allowlist", "list")
    assert "off the blacklist" in line("blacklist", "remove", "account", "A", "--reason", "card replaced", "--by", "bo")
    history = line("blacklist", "history", "account", "A").splitlines()
    assert [re.split(r" UTC +| {2,}", row)[1:3] for row in history] == [
        ["bo", "remove"],
        ["ana", "change"],
        [ANY, "add"],
    ]
    assert history[0].endswith("card replaced") and history[2].endswith("stolen")
    assert (
        len(line("blacklist", "history").splitlines()) == 4
        and len(line("blacklist", "history", "merchant").splitlines()) == 1
    )
    assert "no such change of the allowlist" in line("allowlist", "history")
    assert "is not on the blacklist" in line("blacklist", "remove", "account", "A", code=1)
    line("blacklist", "add", "planet", "Mars", "--reason", "far", code=2)


def test_rules_are_switched(line: Line) -> None:
    assert line("rules", "history") == "no changes\n"
    assert re.search(r"^python night +active +v1", line("rules", "list"), re.M)
    switched = line("rules", "set", "night", "shadow", "--reason", "measured first", "--by", "ana")
    assert switched == "night is shadow (it was active)\n"
    listed = line("rules", "list")
    assert re.search(r"^python night +shadow +v1", listed, re.M)
    assert re.search(r"^sql    HIGH_VELOCITY +active +v1 .*within a tumbling minute", listed, re.M)
    line("rules", "set", "HIGH_AMOUNT", "shadow", "--reason", "new limit", "--by", "bia")
    assert re.search(r"^[\d-]+ [\d:]+  night +active -> shadow +ana: measured first\n", line("rules", "history"))
    assert line("rules", "history", "HIGH_AMOUNT").endswith("active -> shadow  bia: new limit\n")
    assert line("rules", "history", "new_place") == "no changes\n"


def test_rules_are_listed_as_json(line: Line) -> None:
    line("rules", "set", "HIGH_AMOUNT", "shadow", "--reason", "x")
    rules = json.loads(line("rules", "list", "--json"))
    [found] = [rule for rule in rules if rule["query_id"] == "high_amount"]
    assert found == {
        "kind": "sql",
        "name": "HIGH_AMOUNT",
        "version": 1,
        "mode": "shadow",
        "severity": "medium",
        "finds": "a transaction above an amount",
        "limits": ["high_amount"],
        "file": "queries.sql",
        "query_id": "high_amount",
        "last_day": 0,
        "last_week": 0,
        "confirmed": 0,
        "dismissed": 0,
        "confirmed_share": None,
        "dismissed_share": None,
        "accounts": None,
        "found_share": None,
        "points": None,
    }
    assert {rule["kind"] for rule in rules} == {"sql", "python"}


def test_wrong_rules_and_modes_are_one_sentence(line: Line) -> None:
    wrong = line("rules", "set", "nigh", "off", "--reason", "x", code=1)
    assert wrong == "streamguard: there is no rule nigh; night is the nearest name; see `streamguard rules list`\n"
    assert "HIGH_AMOUNT is the nearest name" in line("rules", "history", "HIGH_AMONT", code=1)
    assert "'of' is not one of 'active', 'shadow', 'off'" in line("rules", "set", "night", "of", code=2)
    assert line("rules", "set", "night", "off", code=2).count("\n") == 1
    assert line("rules", "set", "night", "off", "--reason", " ", code=2).count("\n") == 1
    assert line("rules", "history") == "no changes\n"


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
