"""The page of functions is what the registry says."""

from __future__ import annotations

from pathlib import Path

from streamguard_ksql.functions import docs
from streamguard_ksql.functions.registry import FUNCTIONS

PAGE = Path(__file__).parents[3] / docs.DEFAULT_PATH


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == docs.page(PAGE), "run python -m streamguard_ksql.functions.docs"


def test_every_function_is_described() -> None:
    assert not [name for name, function in FUNCTIONS.items() if not function.description]


def test_failing_cases_are_listed() -> None:
    text = docs.render({"total": 3, "passed": 2, "failing": [{"case": "joins.json: left", "reason": "late"}]})
    assert "2 of 3 pass" in text and "- **joins.json: left**: late" in text
