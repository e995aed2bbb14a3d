"""The engine against what ksqlDB 0.29 was recorded to do."""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from typing import Any

import pytest

from streamguard_ksql.testing.cases import Case, find_files, load
from streamguard_ksql.testing.harness import Harness
from streamguard_ksql.testing.run import Difference, input_record, run_case
from tests.support.recordings import KSQLDB_CASES, PROJECT_ROOT, RECORDINGS, needs_ksqldb_cases, recording

OUR_RULES = load(RECORDINGS / "streamguard.json")
QUERIES = load(RECORDINGS / "queries.json")
FAILING_QUERIES = set(recording("queries.failing.json"))
"""The recorded queries in which the engine differs from ksqlDB."""
SCRIPTS = [case for path in find_files([RECORDINGS / "scripts"]) for case in load(path)]

FAILING = PROJECT_ROOT / "docs" / "ksql-compatibility.failing.json"
KNOWN = {entry["case"] for entry in json.loads(FAILING.read_text("utf-8"))["failing"]}
"""Of ksqlDB's own cases those that fail, as docs/ksql-compatibility.md lists them with their reasons."""


@pytest.mark.parametrize("case", OUR_RULES, ids=lambda case: case.name)
@pytest.mark.parametrize("crashed", [False, True], ids=["undisturbed", "killed after each input"])
def test_our_own_rules(case: Case, crashed: bool) -> None:
    run_case(case, Harness.crash if crashed else None)


@pytest.mark.parametrize("case", OUR_RULES, ids=lambda case: case.name)
def test_the_bytes_of_our_own_rules(case: Case) -> None:
    recorded: list[dict[str, Any]] = recording("streamguard_bytes.json")[case.name]
    expected = defaultdict(list)
    for record in recorded:
        key = None if record["key_b64"] is None else base64.b64decode(record["key_b64"])
        value = None if record["value_raw"] is None else record["value_raw"].encode()
        expected[record["topic"]].append((key, value, record["timestamp"]))
    written = defaultdict(list)
    for output in run(case).written:
        written[output.topic].append((output.key, output.value, output.time))
    assert {topic: written[topic] for topic in expected} == dict(expected)


def run(case: Case) -> Harness:
    harness = Harness(dict(case.properties))
    harness.run_script("\n".join(case.statements))
    for entry in case.inputs:
        harness.feed(input_record(harness, entry))
    harness.settle()
    return harness


@pytest.mark.parametrize("case", QUERIES, ids=lambda case: case.name)
def test_recorded_query(case: Case) -> None:
    """A query in the list of failing ones must fail: once it passes, it leaves the list."""
    if case.name not in FAILING_QUERIES:
        run_case(case)
        return
    with pytest.raises(Difference):
        run_case(case)


@pytest.mark.parametrize("crashed", [False, True], ids=["undisturbed", "killed after each input"])
@pytest.mark.parametrize("case", SCRIPTS, ids=lambda case: case.name)
def test_published_scripts(case: Case, crashed: bool) -> None:
    run_case(case, Harness.crash if crashed else None)


def test_the_failing_queries_are_recorded_queries() -> None:
    assert {case.name for case in QUERIES} >= FAILING_QUERIES


@needs_ksqldb_cases
@pytest.mark.parametrize("crashed", [False, True], ids=["undisturbed", "killed after each input"])
def test_ksqldbs_own_cases(crashed: bool) -> None:
    """The known failures are run too: one that passes must leave the list."""
    failed = {}
    for case in (case for path in find_files([KSQLDB_CASES]) for case in load(path)):
        try:
            run_case(case, Harness.crash if crashed else None)
        except Difference as difference:
            failed[f"{case.path.name}: {case.name}"] = str(difference)
    assert failed.keys() == KNOWN, [f"{name}: {why}" for name, why in failed.items() if name not in KNOWN]
