"""The runbook has a section for each check of `streamguard status`, and no other."""

from __future__ import annotations

import re

from streamguard.stack.health import CHECKS
from tests.support import pages


def test_every_check_has_its_section() -> None:
    section = pages.read("docs/runbook.md").split("\n## What status reports\n")[1].split("\n## ")[0]
    headings = re.findall(r"^### (.+)$", section, re.MULTILINE)
    assert sorted(headings) == sorted(check.title for check in CHECKS)
    assert len(set(headings)) == len(headings)
