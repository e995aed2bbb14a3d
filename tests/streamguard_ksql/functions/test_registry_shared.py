"""The registry against the functions that a ksqlDB 0.29.0 server lists."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import streamguard_ksql.functions  # noqa: F401 - registers all functions
from streamguard_ksql.functions.registry import FUNCTIONS

SHARED = Path(os.environ.get("STREAMGUARD_TEST_SHARED", Path(__file__).parents[4] / "shared"))
RECORDED = SHARED / "golden" / "functions.json"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not RECORDED.is_file(), reason="the recordings are not beside the project"),
]


def recorded() -> dict[str, Any]:
    functions: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return functions


def test_the_same_names() -> None:
    assert sorted(FUNCTIONS) == sorted(recorded())


def test_the_same_kinds_and_categories() -> None:
    assert {name: (f.kind, f.category) for name, f in FUNCTIONS.items()} == {
        name: (f["kind"], f["category"]) for name, f in recorded().items()
    }


def test_the_same_signatures() -> None:
    def ours(name: str) -> set[Any]:
        return {
            (tuple((p.name, str(p.type), p.variadic) for p in v.signature.parameters), str(v.signature.returns))
            for v in FUNCTIONS[name].variants
        }

    def theirs(name: str) -> set[Any]:
        return {
            (tuple((a["name"], a["type"], a.get("variadic", False)) for a in s["arguments"]), s["returns"])
            for s in recorded()[name]["signatures"]
        }

    assert {name: ours(name) for name in FUNCTIONS} == {name: theirs(name) for name in recorded()}
