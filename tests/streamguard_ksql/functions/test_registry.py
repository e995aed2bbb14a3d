"""The registry against the functions that a ksqlDB 0.29.0 server lists."""

from __future__ import annotations

from typing import Any

import streamguard_ksql.functions  # noqa: F401 - registers all functions
from streamguard_ksql.functions.registry import FUNCTIONS
from tests.support.recordings import recording

RECORDED: dict[str, Any] = recording("functions.json")


def test_the_same_names() -> None:
    assert sorted(FUNCTIONS) == sorted(RECORDED)


def test_the_same_kinds_and_categories() -> None:
    assert {name: (f.kind, f.category) for name, f in FUNCTIONS.items()} == {
        name: (f["kind"], f["category"]) for name, f in RECORDED.items()
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
            for s in RECORDED[name]["signatures"]
        }

    assert {name: ours(name) for name in FUNCTIONS} == {name: theirs(name) for name in RECORDED}
