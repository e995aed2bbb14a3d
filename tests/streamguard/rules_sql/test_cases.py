"""Every query of the catalogue: what is a hit, what is just none, what comes late, and what is not valid.

A file of `cases` has the name of its query, in the layout of `ksql-test-runner`; its `files` of ksqldb are run as they are
deployed, in three partitions, record by record, and of `fraud_alerts` the alerts of the query's rule are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from streamguard.evaluation.replay import Places, Sent
from streamguard.rules.catalogue import sql_rules
from streamguard.sqldeploy.script import read
from streamguard_ksql.engine import Engine
from streamguard_ksql.local import LocalEngine
from streamguard_ksql.operators.record import InputRecord, OutputRecord
from streamguard_ksql.testing.cases import load_json
from streamguard_ksql.testing.run import check_outputs, input_record
from tests.support.project import PROJECT_ROOT
from tests.support.records import T0_MS

CASES = Path(__file__).parent / "cases"
NAMES = {str(rule.query_id): rule.name for rule in sql_rules()}
NOW_MS = T0_MS + 100 * 86_400_000


@dataclass
class Alerts:
    """What the files wrote of one rule."""

    engine: Engine
    written: list[OutputRecord]


def parameters() -> list[Any]:
    return [
        pytest.param(path.stem, found["files"], case, id=f"{path.stem}: {case['name']}")
        for path in sorted(CASES.glob("*.json"))
        for found in [load_json(path)]
        for case in found["tests"]
    ]


@pytest.mark.parametrize(("query_id", "files", "case"), parameters())
def test_rule(query_id: str, files: list[str], case: dict[str, Any]) -> None:
    local = LocalEngine(partitions=3, clock=lambda: NOW_MS)
    for file in files:
        local.run(item.statement for item in read(PROJECT_ROOT / "ksqldb" / file))
    raised: list[InputRecord] = []
    local.listen("fraud_alerts", raised.extend)
    alerts = Alerts(local.engine, [])
    places = Places()
    for entry in case["inputs"]:
        topic, key, value, time, _ = input_record(alerts, entry)
        local.feed([places.place(Sent(topic, key, value, time))])
    rule = f'"RULE":"{NAMES[query_id]}"'.encode()
    alerts.written = [OutputRecord(r.topic, r.key, r.value, r.time, ()) for r in raised if rule in (r.value or b"")]
    check_outputs(alerts, case["outputs"], strict=not case["outputs"])
    assert {i: query.failure for i, query in local.queries.items() if query.failure} == {}


def test_every_query_of_the_catalogue_has_cases() -> None:
    assert {path.stem for path in CASES.glob("*.json")} == NAMES.keys()
