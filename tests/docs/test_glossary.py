"""The glossary: one line per term, in alphabetical order."""

from __future__ import annotations

import re

import pytest

from tests.support import pages

SECTIONS = re.split(r"^## .*$", pages.read("docs/glossary.md"), flags=re.MULTILINE)[1:]


def terms(section: str) -> list[str]:
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    return [row.split("|")[1].strip() for row in rows]


@pytest.mark.parametrize("section", SECTIONS)
def test_terms_are_in_order_and_defined_once(section: str) -> None:
    found = [term.lower() for term in terms(section)]
    assert found
    assert found == sorted(set(found))
