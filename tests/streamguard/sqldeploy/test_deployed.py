"""The statements of the SQL rules are kept when a deployment changes them; decisions name their hash."""

from __future__ import annotations

from hashlib import sha256

import pytest

from streamguard.config.resources import sql_file
from streamguard.rules.catalogue import sql_rules
from tests.streamguard.cli.test_commands import Line
from tests.support.desk import Desk

KEPT = "SELECT rule, version, sql_hash, sql_text, deployed_by FROM deployed_rules ORDER BY deployment_no"


def test_a_deployment_keeps_what_has_changed(line: Line, desk: Desk) -> None:
    core = str(sql_file("queries.sql"))
    line("deploy", core, "--by", "bob")
    first = desk.rows(KEPT)
    assert {row[0]: row[4] for row in first} == {"HIGH_AMOUNT": "bob", "HIGH_VELOCITY": "bob"}
    assert all(sha256(str(row[3]).encode()).hexdigest() == row[2] for row in first)
    velocity = next(str(row[3]) for row in first if row[0] == "HIGH_VELOCITY")
    assert "CREATE TABLE ACCOUNT_VELOCITY" in velocity and "INSERT INTO FRAUD_ALERTS" in velocity
    line("deploy", core, "--by", "eva")
    assert desk.rows(KEPT) == first, "nothing has changed"


@pytest.mark.soak
def test_what_runs_is_kept_whatever_the_file_has(line: Line, desk: Desk) -> None:
    core = str(sql_file("queries.sql"))
    line("deploy", core, "--by", "bob")
    first = desk.rows(KEPT)
    line("deploy", core, "--define", "high_amount=77", "--replace", "--by", "eva", "--reason", "more")
    *before, (rule, _, digest, text, who) = desk.rows(KEPT)
    assert before == first and (rule, who) == ("HIGH_AMOUNT", "eva") and "77" in str(text)
    line("deploy", core, "--by", "eva", code=1)
    assert desk.rows(KEPT)[-1][2] == digest, "what runs is kept, not what the file has"
    desk.rows("DELETE FROM deployed_rules")
    line("deploy", core, "--by", "eva", code=1)
    assert "77" in str({row[0]: row[3] for row in desk.rows(KEPT)}["HIGH_AMOUNT"])


@pytest.mark.soak
def test_all_rules_are_kept(line: Line, desk: Desk) -> None:
    line("deploy")
    [(kept, texts)] = desk.rows("SELECT count(*), count(DISTINCT sql_hash) FROM deployed_rules")
    [(rules,)] = desk.rows("SELECT count(DISTINCT rule) FROM deployed_rules")
    assert kept == texts == rules and int(str(rules)) == len({rule.name for rule in sql_rules()})
