"""Every rule file as a shadow, on a running engine: under other names, with the same alerts, and gone without a trace."""

from __future__ import annotations

import json
import time

import pytest

from streamguard.rules.catalogue import sql_files, sql_rules
from streamguard.sqldeploy.script import read
from streamguard.sqldeploy.state import Server
from streamguard_ksql.formatter import format_statement
from streamguard_ksql.parser import parse_statement
from tests.streamguard.cli.test_commands import Line
from tests.streamguard.sqldeploy.plain import Arrivals, versions
from tests.streamguard.sqldeploy.test_promote import NO_DIFFERENCE, differs, has_no_shadow
from tests.support.desk import Desk
from tests.support.ksqldb import KsqlServerProcess
from tests.support.processes import Program, eventually


def test_what_is_printed_of_a_statement_means_the_same() -> None:
    for file in sql_files():
        for item in read(file):
            assert parse_statement(format_statement(item.statement)) == item.statement, (file.name, item.name)


def test_a_shadow_of_what_runs_shows_no_difference_and_leaves_no_trace(
    line: Line, desk: Desk, server: KsqlServerProcess, consumer: Program
) -> None:
    line("deploy")
    before = set(Server(server.url).queries())
    # After the entries of tables: what reads them later takes them as of the time of the transaction.
    arrivals = Arrivals(server.bootstrap_servers, (time.time_ns() // 60_000_000_000 + 1) * 60_000)
    arrivals.send(200)
    line("deploy", "--shadow")
    engine = Server(server.url)
    shadows = {query: state for query, state in engine.states().items() if "SHADOW_" in query}
    assert len(shadows) == len(before) and set(shadows.values()) == {"RUNNING"}
    arrivals.send(200)
    consumer.start()
    eventually(lambda: desk.rows("SELECT count(*) FROM transactions"), lambda found: found == [(400,)])
    found = json.loads(line("rules", "compare", "--json"))
    assert found["transactions"] == 400 and found["unplaced"] == 0
    assert found["rules"]["HIGH_VELOCITY"]["live"] > 0 and found["rules"]["LOOKBACK_VELOCITY"]["live"] > 0
    differing = {
        name: rule
        for name, rule in found["rules"].items()
        if rule["live"] != rule["shadow"] or rule["gained"] or rule["lost"] or rule["changed"]
    }
    assert differing == {}
    line("rules", "drop-shadow")
    assert has_no_shadow(server) and set(Server(server.url).queries()) == before


@pytest.mark.soak
def test_a_limit_that_every_file_has_replaces_every_rule(
    line: Line, desk: Desk, server: KsqlServerProcess, consumer: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    line("deploy")
    arrivals = Arrivals(server.bootstrap_servers)
    arrivals.send(200)
    before = set(Server(server.url).topics())
    monkeypatch.setenv("STREAMGUARD_MAX_AHEAD_S", "300")
    assert "different" not in line("deploy", "--replace")
    arrivals.send(200)
    consumer.start()
    engine = Server(server.url)
    assert set(engine.topics()) == before and set(engine.states().values()) == {"RUNNING"}
    replaced = desk.rows("SELECT rule FROM rule_replacements WHERE finished_at IS NOT NULL ORDER BY rule")
    assert [rule for (rule,) in replaced] == sorted({rule.name for rule in sql_rules()})
    expected = versions(server.bootstrap_servers, {}, 3, 3)
    eventually(lambda: differs(desk, expected), lambda found: found == NO_DIFFERENCE, 60)
