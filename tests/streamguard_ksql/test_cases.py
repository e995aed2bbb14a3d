"""Every case file in `cases/`: each case as it is, and again with its queries killed and restored after each input."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from streamguard_ksql.testing.cases import Case, find_files, load
from streamguard_ksql.testing.run import run_case

CASES = [case for path in find_files([Path(__file__).parent / "cases"]) for case in load(path)]


def _id(case: Case) -> str:
    return f"{case.path.stem}: {case.name}"


@pytest.mark.parametrize("case", CASES, ids=_id)
def test_case(case: Case) -> None:
    run_case(case)


@pytest.mark.parametrize("case", [c for c in CASES if not c.is_refusal], ids=_id)
def test_case_killed_and_restored_after_each_input(case: Case) -> None:
    run_case(case, lambda harness: harness.crash())


def test_there_are_enough_cases_and_a_fifth_are_refusals() -> None:
    refusals = [case for case in CASES if case.is_refusal]
    assert len(CASES) >= 350
    assert len(refusals) * 5 >= len(CASES)
    assert all(case.expected_message for case in refusals), "a refusal states its message"


def test_names_are_unique() -> None:
    twice = [name for name, count in Counter(map(_id, CASES)).items() if count > 1]
    assert not twice
