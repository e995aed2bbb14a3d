"""The engine against what ksqlDB 0.29 was recorded to do; skipped where the recordings are not beside the project."""

from __future__ import annotations

import base64
import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from streamguard_ksql.testing.cases import Case, find_files, load
from streamguard_ksql.testing.harness import Harness
from streamguard_ksql.testing.running import Difference, input_record, run_case

SHARED = Path(os.environ.get("STREAMGUARD_TEST_SHARED", Path(__file__).parents[3] / "shared"))
GOLDEN, QTT = SHARED / "golden", SHARED / "qtt"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"the recordings of ksqlDB are not there: {GOLDEN}"),
]

FAILING = Path(__file__).parents[2] / "docs" / "ksql-compatibility.failing.json"
KNOWN = {entry["case"] for entry in json.loads(FAILING.read_text("utf-8"))["failing"]}
"""The cases that fail, as docs/ksql-compatibility.md lists them with their reasons."""


def golden_cases() -> list[Case]:
    path = GOLDEN / "streamguard.json"
    return load(path) if path.is_file() else []


@pytest.mark.parametrize("case", golden_cases(), ids=lambda case: case.name)
@pytest.mark.parametrize("crashed", [False, True], ids=["undisturbed", "killed after each input"])
def test_our_own_rules(case: Case, crashed: bool) -> None:
    run_case(case, Harness.crash if crashed else None)


@pytest.mark.parametrize("case", golden_cases(), ids=lambda case: case.name)
def test_the_bytes_of_our_own_rules(case: Case) -> None:
    recorded: list[dict[str, Any]] = json.loads((GOLDEN / "streamguard_bytes.json").read_text("utf-8"))[case.name]
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


@pytest.mark.parametrize("crashed", [False, True], ids=["undisturbed", "killed after each input"])
def test_ksqldbs_own_cases(crashed: bool) -> None:
    """All but the known ones, which are run too: one that passes by now is to leave the list."""
    failed = {}
    for case in (case for path in find_files([QTT]) for case in load(path)):
        try:
            run_case(case, Harness.crash if crashed else None)
        except Difference as difference:
            failed[f"{case.path.name}: {case.name}"] = str(difference)
    assert failed.keys() == KNOWN, [f"{name}: {why}" for name, why in failed.items() if name not in KNOWN]
