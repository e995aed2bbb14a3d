"""`deploy --remove`: what files have made that no rule needs is taken down with its topics. The SQL that comes with a sink."""

from __future__ import annotations

import pytest

from streamguard.config import load_settings
from streamguard.config.resources import sql_file
from streamguard.rules.catalogue import sql_files
from streamguard.sinks.chosen import sql_of
from streamguard.sqldeploy import DeployError, deploy
from streamguard.sqldeploy.run import remove
from streamguard.sqldeploy.script import read
from streamguard.sqldeploy.state import Server
from streamguard.stack.health.base import Context
from streamguard.stack.health.engine import rule_missing
from tests.streamguard.cli.test_commands import Line
from tests.support.ksqldb import KsqlServerProcess

CORE, ANALYTICS, SLIDING = (sql_file(name) for name in ("queries.sql", "analytics.sql", "analytics-sliding.sql"))


def test_live_figures_are_taken_down_and_rules_stay(line: Line, server: KsqlServerProcess) -> None:
    ksql = Server(server.url)
    deploy(ksql, [CORE])
    rules = ksql.queries()
    deploy(ksql, [ANALYTICS, SLIDING])
    assert "figures_by_type" in ksql.topics().values()

    assert "belongs to the rules" in line("deploy", "--remove", "queries.sql", code=1)
    with pytest.raises(DeployError, match="deploy its file too"):
        remove(ksql, read(ANALYTICS))
    assert "FIGURES_BY_TYPE" in ksql.topics(), "nothing is removed where something reads from it"

    [filling] = [query for query in ksql.queries() if query.startswith("CTAS_FIGURES_BY_CITY")]
    ksql.execute(f"TERMINATE {filling};")
    [entity] = ksql.execute("SHOW QUERIES;")
    context = Context(load_settings(ksqldb_url=server.url), engine=ksql, queries=entity["queries"])
    [said] = [finding.sentence for finding in rule_missing(context)]
    assert "FIGURES_BY_CITY of analytics.sql was terminated: `streamguard deploy analytics.sql` starts it again" in said

    assert line("deploy", "--remove", "analytics-sliding.sql", "analytics.sql").count("removed") == 10
    assert ksql.queries() == rules
    assert not [topic for topic in ksql.topics().values() if topic.startswith(("figures_by_", "commissions"))]
    assert "nothing of it is there" in line("deploy", "--remove", "analytics.sql")


def test_the_sink_of_figures_comes_with_its_sql_and_rules_without() -> None:
    assert sql_of(["jsonl", "figures"]) == [ANALYTICS]
    assert ANALYTICS not in sql_files()
