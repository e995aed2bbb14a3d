"""The catalogue has every rule: each SQL query into fraud_alerts and each Python rule, with limits that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamguard.config.resources import packaged_sql
from streamguard.rules import REGISTRY, RuleLimits, catalogue
from streamguard.rules.base import rule
from streamguard.rules.catalogue import CatalogueError, sql_rules
from streamguard.sqldeploy.script import read
from streamguard_ksql.ast import InsertInto


def test_each_query_into_fraud_alerts_is_in_the_catalogue() -> None:
    """By file, query id and the rule that its alerts carry."""
    queries: dict[str, tuple[str, str, dict[str, str]]] = {}
    for file in packaged_sql():
        for item in read(file) if file.suffix == ".sql" and "-values" not in file.name else ():
            if isinstance(item.statement, InsertInto) and item.statement.target == "FRAUD_ALERTS":
                [name] = re.findall(r"'(\w+)' AS rule\b", item.text)
                queries[item.name.lower()] = (file.name, name, item.variables)
    listed = {known.query_id: known for known in sql_rules()}
    assert queries.keys() == listed.keys()
    for query_id, (file_name, name, variables) in queries.items():
        known = listed[query_id]
        assert (known.file, known.name) == (file_name, name), query_id
        assert set(known.limits) <= variables.keys(), f"{query_id}: limits are DEFINEs of {file_name}"


def test_each_python_rule_is_in_the_catalogue() -> None:
    python = {known.name: known for known in catalogue() if known.kind == "python"}
    assert python.keys() == REGISTRY.keys()
    for known in python.values():
        assert known.finds and known.query_id is None and known.file.startswith("streamguard.rules.checks.")
        assert set(known.limits) <= RuleLimits.model_fields.keys()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x: [", r"ksqldb/rules.yaml: "),
        ("high_amount: {name: A, version: 0, file: f, finds: x, severity: low}", "high_amount.version"),
        ("high_amount: {name: A, version: 1, file: f, finds: x, severity: dire}", "high_amount.severity"),
        ("high_amount: {name: A, version: 1, file: f, finds: x, severity: low, colour: red}", "high_amount.colour"),
    ],
)
def test_an_edited_catalogue_that_is_wrong_is_one_sentence(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ksqldb").mkdir()
    (tmp_path / "ksqldb" / "rules.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CatalogueError, match=message) as caught:
        catalogue()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"severity": "dire"}, "severity"), ({"limits": ("nights",)}, "RuleLimits has no nights")],
)
def test_a_rule_registered_wrongly_is_an_error(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rule("odd", version=1, **options)(REGISTRY["night"].judge)  # type: ignore[arg-type]
