"""What docs/analytics.md shows is so: its queries find rows, its topics and types are those of the SQL."""

from __future__ import annotations

import re

import pytest

from streamguard.figures.kinds import TOPICS
from streamguard.sqldeploy.script import read
from tests.streamguard.desk.figures import keep_figures
from tests.streamguard.rules_sql.test_analytics import ANALYTICS, FILES, KSQLDB
from tests.support.desk import Desk
from tests.support.pages import blocks
from tests.support.project import PROJECT_ROOT

PAGE = (PROJECT_ROOT / "docs" / "analytics.md").read_text(encoding="utf-8")


def test_the_queries_find_rows(desk: Desk) -> None:
    keep_figures(desk, hours=2)
    shown = blocks("docs/analytics.md", "sql")
    assert len(shown) == 4
    for statement in shown:
        assert desk.rows(statement.replace("%", "%%")), statement


def test_the_topics_are_those_of_the_sql() -> None:
    made = {item.name.lower() for file in FILES[1:] for item in read(KSQLDB / file) if item.kind == "table"}
    assert made == set(TOPICS) == set(re.findall(r"`(figures_by_\w+)`", PAGE))


@pytest.mark.parametrize("name", ["no_commission"])
def test_the_types_that_earn_nothing_are_named(name: str) -> None:
    [stream] = [item for item in read(ANALYTICS) if item.kind == "stream"]
    [named] = re.findall(rf"`{name}` \(([^)]*)\)", " ".join(PAGE.split()))
    assert named.removesuffix(", in any letter case").split(", ") == stream.variables[name].split()
